#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <iterator>

#include "apps/config_options.h"
#include "apps/trained.h"
#include "apps/verb.h"
#include "sing/autograd/tape.h"
#include "sing/core/atomic_file.h"
#include "sing/core/error.h"
#include "sing/core/file_system.h"
#include "sing/data/image_io.h"
#include "sing/tensor/safetensors.h"

namespace sing::apps {
namespace {

constexpr uint64_t kInputLimit = uint64_t{1} << 32;

bool is_png(std::span<const std::byte> bytes) {
  constexpr unsigned char kMagic[] = {0x89, 'P', 'N', 'G'};
  return bytes.size() >= 4 && std::equal(std::begin(kMagic), std::end(kMagic),
                                         reinterpret_cast<const unsigned char*>(bytes.data()));
}

/// (1, C, H, W) f32 in [0, 1], in the channels the model wants.
Tensor from_png(const data::Image8& image, int64_t channels, const std::string& name) {
  const int64_t colours = image.channels >= 3 ? 3 : 1;
  if (colours != channels && !(colours == 1 && channels == 3))
    throw DataError("the picture has " + std::to_string(colours) +
                        " colour channels, the model reads " + std::to_string(channels),
                    name, {}, "E0331");
  Tensor tensor = Tensor::empty({1, channels, image.height, image.width});
  float* to = tensor.mutable_data<float>();
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t i = 0; i < image.height * image.width; ++i)
      *to++ = static_cast<float>(
                  image.pixels[static_cast<size_t>(i * image.channels + (colours == 1 ? 0 : c))]) /
              255.0f;
  return tensor;
}

/// The tensor a batch file holds: "image" as written by `sing data generate`, or another usual
/// name.
Tensor from_safetensors(ByteBuffer bytes, const std::string& name) {
  Result<SafetensorsFile> file = SafetensorsFile::parse(std::move(bytes));
  if (!file.ok())
    throw DataError(file.error().what, name + ", byte " + std::to_string(file.error().offset),
                    "inputs are PNG or safetensors files", "E0320");
  for (const char* wanted : {"image", "inputs", "input", "images", "x"})
    if (const SafetensorsEntry* entry = file.value().find(wanted))
      return file.value().tensor(*entry).to(DType::f32);
  if (file.value().tensors().size() == 1)
    return file.value().tensor(file.value().tensors().front()).to(DType::f32);
  throw DataError("there is no tensor named image, inputs or input", name, {}, "E0332");
}

struct Input {
  std::string name;
  bool png = false;
  Tensor tensor;  // (N, C, H, W)
};

Input read_input(const std::string& word, int64_t channels) {
  Input input;
  input.name = word == "-" ? "stdin" : word;
  ByteBuffer bytes;
  if (word == "-") {
    const std::string text{std::istreambuf_iterator<char>(std::cin), {}};
    bytes = ByteBuffer(text.size());
    std::copy(text.begin(), text.end(), reinterpret_cast<char*>(bytes.span().data()));
  } else {
    bytes = read_file(posix_file_system(), word, kInputLimit);
  }
  if (is_png(bytes.span())) {
    input.png = true;
    const Result<data::Image8> image = data::decode_png(bytes.span());
    if (!image.ok()) throw DataError(image.error().what, input.name, {}, "E0330");
    input.tensor = from_png(image.value(), channels, input.name);
  } else {
    input.tensor = from_safetensors(std::move(bytes), input.name);
  }
  if (input.tensor.rank() == 3) input.tensor = input.tensor.unsqueeze(0);
  return input;
}

/// First image of (N, C, H, W) as 8-bit grey or RGB; values outside [0, 1] are cut.
data::Image8 to_png(const Tensor& output) {
  const int64_t channels = output.size(1) >= 3 ? 3 : 1;
  data::Image8 image{output.size(2), output.size(3), channels, {}};
  const Tensor dense = output.to(DType::f32).contiguous();
  const float* from = dense.data<float>();
  const int64_t plane = image.height * image.width;
  for (int64_t i = 0; i < plane; ++i)
    for (int64_t c = 0; c < channels; ++c)
      image.pixels.push_back(
          static_cast<uint8_t>(std::lround(255.0f * std::clamp(from[c * plane + i], 0.0f, 1.0f))));
  return image;
}

void print_scores(const std::string& name, const Tensor& output) {
  const int64_t classes = output.size(1);
  const std::vector<double> values = output.to_vector();
  for (int64_t n = 0; n < output.size(0); ++n) {
    const auto row = values.begin() + n * classes;
    const auto best = std::max_element(row, row + classes);
    double sum = 0;
    for (int64_t k = 0; k < classes; ++k) sum += std::exp(row[k] - *best);
    std::printf("%s %lld class %lld probability %.4f\n", name.c_str(), static_cast<long long>(n),
                static_cast<long long>(best - row), 1.0 / sum);
  }
}

void write_output(const Input& input, const Tensor& output, const std::string& out, bool several) {
  const std::string base = name_of_path(input.name);
  const bool images = output.rank() == 4;
  if (out.empty()) {
    if (images)
      throw ConfigError("predictions are images: -o says where they go", {},
                        "-o OUT.png for one picture, -o OUT.safetensors for exact numbers",
                        "E0276");
    print_scores(input.name, output);
    return;
  }
  std::string path = out;
  const bool folder = several || out.ends_with('/');
  if (folder) {
    make_directories(posix_file_system(), out);
    const size_t dot = base.rfind('.');
    path = join_path(out, base.substr(0, dot) + (input.png && images ? ".png" : ".safetensors"));
  }
  if (path.ends_with(".png")) {
    if (!images)
      throw ConfigError("predictions are scores: -o wants a .safetensors file", {}, {}, "E0276");
    if (output.size(0) != 1)
      throw ConfigError(
          "a PNG holds one prediction, the input has " + std::to_string(output.size(0)), {},
          "write a .safetensors file", "E0276");
    data::write_png(path, to_png(output));
  } else if (path.ends_with(".safetensors")) {
    save_tensors(path, {{"prediction", output.to(DType::f32).contiguous()}});
  } else {
    throw ConfigError("-o must end in .png or .safetensors, or name a folder, not '" + out + "'",
                      {}, {}, "E0276");
  }
  std::fprintf(stderr, "%s\n", path.c_str());
}

Tensor predict(nn::Model& model, Device device, const Tensor& input, int64_t batch_size) {
  const autograd::NoGradGuard no_grad;
  if (input.size(0) == 0) throw DataError("the input holds no samples", {}, {}, "E0332");
  Tensor result;
  for (int64_t first = 0; first < input.size(0); first += batch_size) {
    const int64_t count = std::min(batch_size, input.size(0) - first);
    const Tensor output =
        model.forward(input.narrow(0, first, count).contiguous().to(device)).to(Device{});
    if (!result.defined())
      result = Tensor::empty(output.shape().with(0, input.size(0)), {.dtype = output.dtype()});
    result.narrow(0, first, count).copy_from(output);
  }
  return result;
}

int run(const Arguments& arguments) {
  const bool from_config = arguments.has("config");
  if (arguments.words.size() < (from_config ? 1u : 2u))
    throw ConfigError("predict wants a run or checkpoint, and inputs", {},
                      "for instance: sing-predict runs/quickstart/latest in.png -o out.png",
                      "E0273");
  Trained trained = load_trained(arguments, from_config ? "" : arguments.words.front());
  const std::vector<std::string> inputs(arguments.words.begin() + (from_config ? 0 : 1),
                                        arguments.words.end());
  nn::Model& model = trained.experiment->model();
  model.train(false);
  for (const std::string& word : inputs) {
    const Input input = read_input(word, model.shape().channels);
    const Tensor output = predict(model, trained.experiment->device(), input.tensor,
                                  trained.experiment->batches().batch_size);
    write_output(input, output, arguments.get("output"), inputs.size() > 1);
  }
  return 0;
}

const bool registered = register_verb({
    .name = "predict",
    .usage = "RUN|CKPT INPUT... [-o OUT]",
    .sentence = "Runs trained weights on pictures (PNG) or batches (safetensors); - reads stdin.",
    .examples = {"sing-predict runs/quickstart/latest in.png -o out.png",
                 "sing-predict runs/quickstart/latest batch.safetensors -o out.safetensors"},
    .options = with(config_options(), {{.name = "output",
                                        .letter = 'o',
                                        .argument = "OUT",
                                        .group = "Run",
                                        .help = "file or folder of the predictions"},
                                       weights_option()}),
    .run = run,
});

}  // namespace
}  // namespace sing::apps
