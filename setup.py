from setuptools import setup

setup(
    name="bioprop-ref",
    version="0.1.0",
    description="Reference implementation of biologically motivated learning rules "
    "(Bartunov et al. 2018) in plain array code",
    license="MIT",
    python_requires=">=3.11",
    packages=["ref", "ref.common", "ref.dendrites", "ref.linear", "ref.reference",
              "ref.reference.slips", "ref.rules", "data_prep", "runs", "runs.bench",
              "runs.dendrites"],
    install_requires=["numpy>=2.0", "h5py>=3.8", "tqdm>=4.60", "threadpoolctl>=3"],
    extras_require={
        # ctk: the compiler and cuBLAS, which CuPy's wheels do not bring
        "gpu": ["cupy-cuda12x[ctk]"],
        "gpu13": ["cupy-cuda13x[ctk]"],
        # what checks without a GPU that CuPy has all that is called: tests/test_cupy_signatures.py
        "gpu-check": ["cupy-cuda12x", "nvidia-cuda-nvrtc-cu12", "nvidia-cuda-runtime-cu12"],
        "plots": ["matplotlib"],
        "test": ["pytest", "ruff", "pillow"],
        "compare": ["torch"],
        "imagenet": ["pillow"],
    },
)
