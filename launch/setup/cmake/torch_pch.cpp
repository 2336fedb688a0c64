// Stands for the precompiled <torch/torch.h>: CMake builds one only for a target with a source file.
