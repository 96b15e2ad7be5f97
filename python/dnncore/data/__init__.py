"""Data sets, samplers, loaders of minibatches; tables, images and text from files; generated tasks."""

from dnncore.data import augment
from dnncore.data.cifar import load_cifar10, load_cifar100
from dnncore.data.collate import default_collate
from dnncore.data.dataset import ConcatDataset, Dataset, Subset, TensorDataset
from dnncore.data.digits import load_digits
from dnncore.data.encoder import Table, TableEncoder
from dnncore.data.idx import read_idx
from dnncore.data.image_folder import ImageFolder, load_image_folder
from dnncore.data.loader import DataLoader
from dnncore.data.memory_tasks import make_adding_problem, make_first_symbol
from dnncore.data.minibatches import batches
from dnncore.data.mnist import load_mnist
from dnncore.data.sampler import BatchSampler, RandomSampler, SequentialSampler, SubsetRandomSampler, WeightedRandomSampler
from dnncore.data.series import delay_windows, make_mackey_glass, make_noisy_sines
from dnncore.data.shapes import make_shapes
from dnncore.data.split import random_split, stratified_split
from dnncore.data.standardize import Standardizer
from dnncore.data.table import read_csv
from dnncore.data.text import Characters, read_text, split_text, text_chunks, text_streams

__all__ = [
    "BatchSampler",
    "Characters",
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
    "delay_windows",
    "load_cifar10",
    "load_cifar100",
    "load_digits",
    "load_image_folder",
    "load_mnist",
    "make_adding_problem",
    "make_first_symbol",
    "make_mackey_glass",
    "make_noisy_sines",
    "make_shapes",
    "random_split",
    "read_csv",
    "read_idx",
    "read_text",
    "split_text",
    "stratified_split",
    "text_chunks",
    "text_streams",
]
