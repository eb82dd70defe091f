"""What bends other packages: stand-ins for mmcv ops, config names, reading of checkpoints."""
