"""Data sets, samplers, loaders of minibatches, tables and images from files."""

from dnncore.data import augment
from dnncore.data.cifar import load_cifar10, load_cifar100
from dnncore.data.collate import default_collate
from dnncore.data.dataset import ConcatDataset, Dataset, Subset, TensorDataset
from dnncore.data.digits import load_digits
from dnncore.data.encoder import Table, TableEncoder
from dnncore.data.idx import read_idx
from dnncore.data.image_folder import ImageFolder, load_image_folder
from dnncore.data.loader import DataLoader
from dnncore.data.minibatches import batches
from dnncore.data.mnist import load_mnist
from dnncore.data.sampler import BatchSampler, RandomSampler, SequentialSampler, SubsetRandomSampler, WeightedRandomSampler
from dnncore.data.shapes import make_shapes
from dnncore.data.split import random_split, stratified_split
from dnncore.data.standardize import Standardizer
from dnncore.data.table import read_csv

__all__ = [
    "BatchSampler",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "ImageFolder",
    "RandomSampler",
    "SequentialSampler",
    "Standardizer",
    "Subset",
    "SubsetRandomSampler",
    "Table",
    "TableEncoder",
    "TensorDataset",
    "WeightedRandomSampler",
    "augment",
    "batches",
    "default_collate",
    "load_cifar10",
    "load_cifar100",
    "load_digits",
    "load_image_folder",
    "load_mnist",
    "make_shapes",
    "random_split",
    "read_csv",
    "read_idx",
    "stratified_split",
]
