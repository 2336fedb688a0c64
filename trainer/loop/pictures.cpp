#include "trainer/loop/pictures.h"

#include <string>

#include "launch/base/text.h"
#include "trainer/quality/grid.h"

namespace atelier::loop {

void draw_pictures(FileSystem& files, const RunPaths& paths, std::int64_t step,
                   Evaluation& evaluation, Monitor& monitor) {
  std::string number = text(step);
  number.insert(0, number.size() < 6 ? 6 - number.size() : 0, '0');
  const auto publish = [&](const std::string& kind, const at::Tensor& picture) {
    quality::write_picture(files, paths.folder / text(kind, number, ".png"), picture);
    monitor.add_picture(step, kind, picture);
  };
  if (step == 0) {
    quality::write_picture(files, paths.folder / "reals.png", evaluation.reals_picture());
  }
  if (const auto samples = evaluation.samples_picture()) publish("fakes", *samples);
  if (const auto pairs = evaluation.reconstructions_picture()) publish("reconstructions", *pairs);
}

}  // namespace atelier::loop
