"""Data sets, samplers, loaders of minibatches, and tables from files."""

from dnncore.data.collate import default_collate
from dnncore.data.dataset import ConcatDataset, Dataset, Subset, TensorDataset
from dnncore.data.digits import load_digits
from dnncore.data.encoder import Table, TableEncoder
from dnncore.data.loader import DataLoader
from dnncore.data.minibatches import batches
from dnncore.data.sampler import BatchSampler, RandomSampler, SequentialSampler, SubsetRandomSampler, WeightedRandomSampler
from dnncore.data.split import random_split, stratified_split
from dnncore.data.standardize import Standardizer
from dnncore.data.table import read_csv

__all__ = [
    "BatchSampler",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "RandomSampler",
    "SequentialSampler",
    "Standardizer",
    "Subset",
    "SubsetRandomSampler",
    "Table",
    "TableEncoder",
    "TensorDataset",
    "WeightedRandomSampler",
    "batches",
    "default_collate",
    "load_digits",
    "random_split",
    "read_csv",
    "stratified_split",
]
