"""Published networks for images: LeNet-5, AlexNet, VGG, GoogLeNet, ResNets; freezing and new heads for transfer learning.

Recurrent networks for sequences: classifier, tagger, language model, forecaster, encoder and decoder. ``state_dict`` keys are
torchvision's where torchvision has the model. No weights are shipped.
"""

from dnncore.models._alexnet import AlexNet, alexnet
from dnncore.models._googlenet import GoogLeNet, GoogLeNetOutputs, googlenet
from dnncore.models._sequence import SequenceNetwork, chrono_init
from dnncore.models.classifier import Classifier, freeze, replace_head, unfreeze
from dnncore.models.forecast import Forecaster, LastSteps, delay_network
from dnncore.models.language import LanguageModel
from dnncore.models.lenet import LeNet5, lenet5
from dnncore.models.resnet import ResNet, resnet18, resnet34, resnet50, resnet101, resnet152
from dnncore.models.resnet_cifar import CifarResNet, resnet20, resnet32, resnet44, resnet56
from dnncore.models.sequence import SequenceClassifier, SequenceTagger
from dnncore.models.translation import BahdanauAttention, EncoderDecoder, LuongAttention, TeacherForcing
from dnncore.models.vgg import VGG, vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn

__all__ = [
    "VGG",
    "AlexNet",
    "BahdanauAttention",
    "CifarResNet",
    "Classifier",
    "EncoderDecoder",
    "Forecaster",
    "GoogLeNet",
    "GoogLeNetOutputs",
    "LanguageModel",
    "LastSteps",
    "LeNet5",
    "LuongAttention",
    "ResNet",
    "SequenceClassifier",
    "SequenceNetwork",
    "SequenceTagger",
    "TeacherForcing",
    "alexnet",
    "chrono_init",
    "delay_network",
    "freeze",
    "googlenet",
    "lenet5",
    "replace_head",
    "resnet18",
    "resnet20",
    "resnet32",
    "resnet34",
    "resnet44",
    "resnet50",
    "resnet56",
    "resnet101",
    "resnet152",
    "unfreeze",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
]
