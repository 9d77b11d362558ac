#pragma once
#include <array>
#include <cstdint>

#include "sing/backend/kernel_slot.h"
#include "sing/core/dtype.h"

namespace sing::kernels {

/// What follows a matrix product, in its last write.
enum class Epilogue : uint8_t { none, relu, gelu, gelu_tanh };

inline constexpr int kGemmBatchRank = 4;

/// For each batch index: C = act(A B + bias), or C = act(C + A B + bias) with `accumulate`.
/// A is m x k with a(i, p) = a[i * a_row + p * a_col]; B is k x n likewise; rows of C are dense
/// (c(i, j) = c[i * c_row + j]). Strides in elements; a batch stride of 0 repeats an operand.
/// f32 and narrower inputs are multiplied exactly and summed in f32 or wider, in an order that
/// depends on the sizes only.
struct GemmArgs {
  const void* a;
  const void* b;
  void* c;
  DType dtype;    // of a, b and bias
  DType c_dtype;  // dtype, or f32 where a and b are narrower
  int64_t m, n, k;
  int64_t a_row, a_col, b_row, b_col, c_row;
  int batch_rank;
  std::array<int64_t, kGemmBatchRank> batch, a_batch, b_batch, c_batch;
  bool accumulate;
  Epilogue epilogue;
  const void* bias;  // n elements, or nullptr
  /// Where what activation_grad needs goes (layout and dtype of c), or nullptr. On the CPU the
  /// derivative of the activation: it shares the costly part with the activation, and backward is
  /// then a product. On CUDA the value before the activation: arithmetic is free there beside
  /// memory, and a library's product can write that value, not the derivative.
  void* slope;
  /// When not null the product is a gradient on its way back through an activation:
  /// C = (A B) * act'(value before), with `epilogue` as the activation and what it kept, of layout
  /// and dtype of c (relu: its output; else what gemm left in slope). Then rows of C are dense
  /// (c_row == n), batch_rank is 0 and there is no accumulate, bias or slope. Not C itself.
  const void* kept;
  /// When not null, the gradient of a bias that was added to the value whose gradient passes here.
  /// With `kept`: bias_grad[j] (+)= sum_i c(i, j), n elements, of C before or after it is rounded.
  /// Else, beside the weight gradient dY^T X: bias_grad[i] (+)= sum_p a(i, p), m elements; then A
  /// is the transpose of a dense matrix (a_row == 1, a_col == m), batch_rank is 0 and nothing but
  /// `accumulate` happens to C.
  void* bias_grad;
  DType bias_grad_dtype;      // that of the matrix it sums, f32 or f64
  bool bias_grad_accumulate;  // += instead of =
  Stream stream;
};

/// grad_pre[i, j] = grad[i, j] * act'(value before [i, j]) and
/// bias_grad[j] (+)= sum_i grad_pre[i, j]. Dense m x n.
struct ActivationGradArgs {
  const void* grad;
  const void* kept;  // nullptr with Epilogue::none; relu: its output; else what gemm left in slope
  void* grad_pre;    // nullptr: only the sums are wanted; may be `grad` or `kept` itself
  void* bias_grad;   // nullptr: not wanted
  DType dtype;       // of grad, kept and grad_pre
  DType bias_grad_dtype;  // dtype, f32 or f64
  bool accumulate;        // bias_grad += instead of =
  Epilogue epilogue;
  int64_t m, n;
  Stream stream;
};

SING_DECLARE_SLOT(gemm, GemmArgs)
SING_DECLARE_SLOT(activation_grad, ActivationGradArgs)

}  // namespace sing::kernels
