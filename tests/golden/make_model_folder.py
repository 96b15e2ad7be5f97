"""Write tests/golden/model-1, a folder of format version 1; later versions must read it, so it is not made anew."""

from __future__ import annotations

import math
from pathlib import Path

import dnncore as dnn
from dnncore import nn
from dnncore.model import archive

if __name__ == "__main__":
    dnn.manual_seed(1)
    block = nn.Sequential(nn.Linear(5, 5), nn.PReLU(5), nn.Dropout(0.25))
    model = nn.Sequential(
        nn.Linear(3, 5, bias=False), nn.Hardtanh(-math.inf, 0.5), block, block, nn.Maxout(5, 4, pieces=3), nn.Softmax(dim=1)
    ).eval()
    model[0].requires_grad_(False)
    x = dnn.randn(6, 3)
    extra = {"x": x.tolist(), "y": model(x).tolist(), "loss": [2.5, math.nan]}
    archive.write(Path(__file__).parent / "model-1", model, extra)
