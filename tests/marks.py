"""What a test needs of the machine."""

import pytest
from dnncore import cuda

needs_device = pytest.mark.skipif(not cuda.is_available(), reason=f"no CUDA device: {cuda.unavailable_reason()}")
without_device = pytest.mark.skipif(cuda.is_available(), reason="there is a device")
PLACES = ["cpu", pytest.param("cuda", marks=needs_device)]
