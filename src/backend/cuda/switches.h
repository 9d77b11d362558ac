#pragma once

// How exactly the libraries have to compute.
namespace sing::cuda {

/// A variable of the environment as a switch: "0" and "off" are off, any other text on, none
/// `otherwise`.
bool read_switch(const char* name, bool otherwise);

/// Whose kernels serve an op: SING_CUDA_ATTENTION, SING_CUDA_GELU.
enum class Provider { own, cudnn, automatic };
/// From "own", "cudnn" or "auto"; `own` when the variable is not there. Throws ConfigError.
Provider read_provider(const char* name);

/// f32 products may round their operands to TF32 (10 bits): SING_CUDA_TF32=1. Off by default.
bool allow_tf32();
/// Whether products by the library do what follows them too, where it can: SING_CUDA_EPILOGUES=off
/// leaves activations, their gradients and bias gradients to our own kernels, so that a card can
/// compare. On by default.
bool library_epilogues();
/// The same bits on every run of the same card and libraries, which `train.deterministic` asks for;
/// else faster algorithms that add in any order.
void set_deterministic(bool on);
bool deterministic();

}  // namespace sing::cuda
