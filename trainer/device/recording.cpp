#include "trainer/device/recording.h"

#include <map>
#include <utility>

#include <dlfcn.h>

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::device {
namespace {

std::map<at::DeviceType, Recorder>& recorders() {
  static std::map<at::DeviceType, Recorder> known;
  return known;
}

// Stands in a library of its own, since it must be linked to LibTorch's part for CUDA.
Recorder load_cuda_recorder() {
  constexpr const char* kLibrary = "libatelier_cuda_recording.so";
  constexpr const char* kSymbol = "atelier_record_on_cuda";
  void* const library = ::dlopen(kLibrary, RTLD_NOW);
  void* const symbol = library != nullptr ? ::dlsym(library, kSymbol) : nullptr;
  if (symbol == nullptr) {
    const char* const problem = ::dlerror();
    throw DeviceError(text("Cannot load '", kLibrary, "', which records CUDA graphs: ",
                           problem != nullptr ? problem : "?", "."),
                      "It belongs next to the program; or set device.graphs = \"off\".");
  }
  using Record = Recording*(const std::function<void()>&);
  auto* const make = reinterpret_cast<Record*>(symbol);
  return
      [make](const std::function<void()>& work) { return std::unique_ptr<Recording>(make(work)); };
}

const Recorder& recorder_of(at::DeviceType type) {
  auto found = recorders().find(type);
  if (found == recorders().end() && type == at::kCUDA) {
    found = recorders().emplace(type, load_cuda_recorder()).first;
  }
  if (found == recorders().end()) {
    throw DeviceError(
        text("A device of type ", c10::DeviceTypeName(type, true), " does not record."));
  }
  return found->second;
}

// LibTorch's errors become ours.
template <typename Work>
auto ours(std::string_view attempted, const Work& work) {
  try {
    return work();
  } catch (const c10::Error& error) {
    throw DeviceError(text("The device cannot ", attempted, ": ", error.what_without_backtrace()));
  }
}

class Guarded final : public Recording {
 public:
  explicit Guarded(std::unique_ptr<Recording> recording) : recording_(std::move(recording)) {}
  void replay() override {
    ours("repeat what it has recorded", [this] { recording_->replay(); });
  }

 private:
  std::unique_ptr<Recording> recording_;
};

}  // namespace

void set_recorder(at::DeviceType type, Recorder recorder) {
  recorders()[type] = std::move(recorder);
}

std::unique_ptr<Recording> record(at::Device device, const std::function<void()>& work) {
  const Recorder& recorder = recorder_of(device.type());
  return std::make_unique<Guarded>(ours("record this work", [&] { return recorder(work); }));
}

}  // namespace atelier::device
