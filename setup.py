from setuptools import find_packages, setup

setup(
    name="bioprop-ref",
    version="0.1.0",
    description="Reference implementation of biologically motivated learning rules "
    "(Bartunov et al. 2018) in plain array code",
    license="MIT",
    python_requires=">=3.11",
    packages=find_packages(include=["ref*", "data_prep*", "runs*"]),
    entry_points={"console_scripts": [
        "ref-train = ref.train:main",
        "ref-evaluate = ref.evaluate:main",
        "ref-plot = ref.plot:main",
        "ref-watch = ref.watch:main",
        "ref-export = ref.export:main",
        "ref-architectures = ref.architectures:main",
        "ref-reference = ref.reference.cli:main",
    ]},
    install_requires=["numpy>=2.0", "h5py>=3.8", "tqdm>=4.60", "threadpoolctl>=3"],
    extras_require={
        # ctk: the compiler and cuBLAS, which CuPy's wheels do not bring
        "gpu": ["cupy-cuda12x[ctk]"],
        "gpu13": ["cupy-cuda13x[ctk]"],
        # what checks without a GPU that CuPy has all that is called: tests/test_cupy_signatures.py
        "gpu-check": ["cupy-cuda12x", "nvidia-cuda-nvrtc-cu12", "nvidia-cuda-runtime-cu12"],
        "plots": ["matplotlib"],
        "completion": ["shtab"],  # ref/commands.md
        "test": ["pytest", "ruff", "pillow"],
        "compare": ["torch", "jax"],
        # Adam's update compiled (ref/compiled.py): the same numbers, sooner
        "fast": ["numba"],
        "imagenet": ["pillow"],
        "mpi": ["mpi4py>=4"],  # against the system's MPI library (ref/mpi.md)
        "mpich": ["mpi4py>=4", "mpich"],  # with a library
    },
)
