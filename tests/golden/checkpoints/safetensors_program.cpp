// What safetensors_test.py runs. sample OUT: tensors of every type; copy IN OUT: read and written
// again; check FOLDER: "NAME ok" or "NAME refused" for each file.
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>

#include "checkpoints/safetensors.h"
#include "launch/base/error.h"
#include "tests/unit/checkpoints/sample_state.h"

namespace atelier::checkpoints {
namespace {

void write(const Path& path, const std::vector<TensorData>& tensors, const Metadata& metadata) {
  std::vector<TensorView> views;
  for (const TensorData& tensor : tensors) views.push_back({tensor, tensor.bytes});
  LocalFileSystem files;
  const auto file = files.create(path);
  SafetensorsImage(views, metadata).write([&](std::span<const std::byte> bytes) {
    file->append(bytes);
  });
  file->close();
}

void sample(const Path& out) {
  std::vector<TensorData> tensors;
  for (const char* type : {"U64", "I64", "F64", "F32", "U32", "I32", "BF16", "F16", "U16", "I16",
                           "I8", "U8", "BOOL"}) {
    const DType dtype = dtype_of(type).value();
    tensors.push_back(sample_tensor(text("b.", type), dtype, {2, 3}, 1));
    tensors.push_back(sample_tensor(text("a \"é\".", type), dtype, {}, 2));
    tensors.push_back(sample_tensor(text("c.", type), dtype, {4, 0}, 3));
    if (dtype != DType::kBool) continue;
    for (TensorData& tensor : tensors) {
      if (tensor.dtype != dtype) continue;
      for (std::byte& value : tensor.bytes) value &= std::byte{1};
    }
  }
  write(out, tensors, {{"format", "pt"}});
}

void copy(const Path& in, const Path& out) {
  LocalFileSystem files;
  const SafetensorsReader reader(files, in);
  std::vector<TensorData> tensors;
  for (const TensorPlace& place : reader.header().tensors) tensors.push_back(reader.read(place));
  write(out, tensors, reader.header().metadata);
}

void check(const Path& folder) {
  LocalFileSystem files;
  for (const std::string& name : files.list(folder)) {
    const std::string content = files.read(folder / name);
    const auto bytes = std::as_bytes(std::span(content));
    try {
      static_cast<void>(SafetensorsFile::parse({bytes.begin(), bytes.end()}, name));
      std::cout << name << " ok\n";
    } catch (const CheckpointError&) {
      std::cout << name << " refused\n";
    }
  }
}

}  // namespace
}  // namespace atelier::checkpoints

int main(int argc, char** argv) {
  using namespace atelier::checkpoints;  // NOLINT(google-build-using-namespace): a test program
  const std::string what = argc > 2 ? argv[1] : "";
  try {
    if (what == "sample") sample(argv[2]);
    if (what == "copy" && argc > 3) copy(argv[2], argv[3]);
    if (what == "check") check(argv[2]);
  } catch (const std::exception& problem) {
    std::cerr << problem.what() << '\n';
    return EXIT_FAILURE;
  }
}
