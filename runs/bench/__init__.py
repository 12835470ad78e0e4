"""How long a training step takes: python -m runs.bench

__main__.py is the command; pair.py is what is timed, cpu.py and gpu.py time it, floor.py says how
fast it could be; peer_torch.py and peer_jax.py are the same step by others, same.py sees to that;
load.py looks whether the machine is busy with something else. epoch.py: whole epochs.
"""
