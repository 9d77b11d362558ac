#pragma once
#include <cudnn.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

// The objects of cuDNN's graph API ("backend API", cuDNN 9) as values with owners. No callback is
// ever handed to cuDNN, so an exception never passes through it.
namespace sing::cuda::cudnn {

/// "CUDNN_STATUS_NOT_SUPPORTED: <cuDNN's own sentence about the last error of this thread>".
std::string status_text(cudnnStatus_t status);
/// Throws BackendError "cudnn: cannot <attempt>: <status_text>" unless successful.
void check(cudnnStatus_t status, const std::string& attempt);

/// One backend descriptor. Attributes are set, then it is finalised and read only.
class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type);
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept;
  Descriptor& operator=(Descriptor&& other) noexcept;

  cudnnBackendDescriptor_t get() const { return raw_; }

  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                  const void* values);
  Descriptor& set(cudnnBackendAttributeName_t name, int64_t value);
  Descriptor& set(cudnnBackendAttributeName_t name, std::span<const int64_t> values);
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnDataType_t value);
  Descriptor& set(cudnnBackendAttributeName_t name, const Descriptor& value);
  Descriptor& set(cudnnBackendAttributeName_t name,
                  const std::vector<cudnnBackendDescriptor_t>& values);
  Descriptor& set_flag(cudnnBackendAttributeName_t name, bool value);
  Descriptor& set_handle(cudnnBackendAttributeName_t name, cudnnHandle_t handle);

  /// Throws BackendError.
  Descriptor& finalize();
  /// For plans, where a refusal is an ordinary answer.
  cudnnStatus_t try_finalize();

  int64_t get_integer(cudnnBackendAttributeName_t name) const;
  /// All values of an attribute of enumeration type.
  std::vector<int64_t> get_enums(cudnnBackendAttributeName_t name,
                                 cudnnBackendAttributeType_t type) const;
  /// Copies of the descriptors an attribute holds; `type` is their type. `most` is for attributes
  /// that answer 0 when asked how many they hold (knob choices do).
  std::vector<Descriptor> get_descriptors(cudnnBackendAttributeName_t name,
                                          cudnnBackendDescriptorType_t type,
                                          int64_t most = 0) const;

 private:
  cudnnBackendDescriptor_t raw_ = nullptr;
  int type_;
};

}  // namespace sing::cuda::cudnn
