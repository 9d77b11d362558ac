#include "backend/cuda/cudnn/descriptor.h"

#include <array>
#include <utility>

#include "sing/core/error.h"

namespace sing::cuda::cudnn {

std::string status_text(cudnnStatus_t status) {
  std::array<char, 512> message{};
  cudnnGetLastErrorString(message.data(), message.size());
  std::string text = cudnnGetErrorString(status);
  if (message[0] != '\0') text += std::string(": ") + message.data();
  return text;
}

void check(cudnnStatus_t status, const std::string& attempt) {
  if (status != CUDNN_STATUS_SUCCESS)
    throw BackendError("cudnn: cannot " + attempt + ": " + status_text(status));
}

Descriptor::Descriptor(cudnnBackendDescriptorType_t type) : type_(type) {
  check(cudnnBackendCreateDescriptor(type, &raw_),
        "create a descriptor of type " + std::to_string(type));
}

Descriptor::~Descriptor() {
  if (raw_ != nullptr) cudnnBackendDestroyDescriptor(raw_);
}

Descriptor::Descriptor(Descriptor&& other) noexcept
    : raw_(std::exchange(other.raw_, nullptr)), type_(other.type_) {}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(raw_, other.raw_);
  std::swap(type_, other.type_);
  return *this;
}

Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                            int64_t count, const void* values) {
  check(cudnnBackendSetAttribute(raw_, name, type, count, values),
        "set attribute " + std::to_string(name) + " of a descriptor of type " +
            std::to_string(type_));
  return *this;
}

Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, int64_t value) {
  return set(name, CUDNN_TYPE_INT64, 1, &value);
}

Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, std::span<const int64_t> values) {
  return set(name, CUDNN_TYPE_INT64, static_cast<int64_t>(values.size()), values.data());
}

Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, cudnnDataType_t value) {
  return set(name, CUDNN_TYPE_DATA_TYPE, 1, &value);
}

Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, const Descriptor& value) {
  const cudnnBackendDescriptor_t raw = value.get();
  return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &raw);
}

Descriptor& Descriptor::set(cudnnBackendAttributeName_t name,
                            const std::vector<cudnnBackendDescriptor_t>& values) {
  return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, static_cast<int64_t>(values.size()),
             values.data());
}

Descriptor& Descriptor::set_flag(cudnnBackendAttributeName_t name, bool value) {
  return set(name, CUDNN_TYPE_BOOLEAN, 1, &value);
}

Descriptor& Descriptor::set_handle(cudnnBackendAttributeName_t name, cudnnHandle_t handle) {
  return set(name, CUDNN_TYPE_HANDLE, 1, &handle);
}

Descriptor& Descriptor::finalize() {
  check(try_finalize(), "finalise a descriptor of type " + std::to_string(type_));
  return *this;
}

cudnnStatus_t Descriptor::try_finalize() {
  return cudnnBackendFinalize(raw_);
}

int64_t Descriptor::get_integer(cudnnBackendAttributeName_t name) const {
  int64_t value = 0, count = 0;
  check(cudnnBackendGetAttribute(raw_, name, CUDNN_TYPE_INT64, 1, &count, &value),
        "read attribute " + std::to_string(name));
  return value;
}

std::vector<int64_t> Descriptor::get_enums(cudnnBackendAttributeName_t name,
                                           cudnnBackendAttributeType_t type) const {
  int64_t count = 0;
  check(cudnnBackendGetAttribute(raw_, name, type, 0, &count, nullptr),
        "count attribute " + std::to_string(name));
  std::vector<int> values(static_cast<size_t>(count));  // C enumerations have the size of int
  if (count > 0)
    check(cudnnBackendGetAttribute(raw_, name, type, count, &count, values.data()),
          "read attribute " + std::to_string(name));
  values.resize(static_cast<size_t>(count));
  return {values.begin(), values.end()};
}

std::vector<Descriptor> Descriptor::get_descriptors(cudnnBackendAttributeName_t name,
                                                    cudnnBackendDescriptorType_t type,
                                                    int64_t most) const {
  int64_t count = most;
  if (most == 0)
    check(cudnnBackendGetAttribute(raw_, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, nullptr),
          "count attribute " + std::to_string(name));
  // The caller makes empty descriptors and cuDNN fills them.
  std::vector<Descriptor> found;
  std::vector<cudnnBackendDescriptor_t> raw;
  for (int64_t i = 0; i < count; ++i) raw.push_back(found.emplace_back(type).get());
  if (count > 0)
    check(cudnnBackendGetAttribute(raw_, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, &count,
                                   raw.data()),
          "read attribute " + std::to_string(name));
  found.erase(found.begin() + count, found.end());
  return found;
}

}  // namespace sing::cuda::cudnn
