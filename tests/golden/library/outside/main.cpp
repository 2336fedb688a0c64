// A LibTorch program of somebody else, trained data-parallel by Atelier: mpirun -n 2 outside
#include <cstdio>

#include "launch/comm/make_comm.h"
#include "trainer/engine/engine.h"

using namespace atelier;

struct Denoiser final : networks::Net {  // an ordinary torch::nn module
  torch::nn::Conv2d first{register_module("first", torch::nn::Conv2d(3, 16, 3))};
  torch::nn::ConvTranspose2d last{register_module("last", torch::nn::ConvTranspose2d(16, 3, 3))};
  at::Tensor forward(const at::Tensor& x) override { return last(torch::silu(first(x))); }
};

class Denoising final : public objectives::Objective {
 public:
  std::string_view family() const override { return "denoiser"; }
  const std::vector<objectives::NamedNet>& nets() const override { return nets_; }
  const std::vector<objectives::Phase>& phases() const override { return phases_; }
  objectives::Losses losses(const objectives::Phase&, const objectives::PhaseInput& in) override {
    const at::Tensor& x = in.images_NCHW;
    const at::Tensor noise =
        objectives::normal(in.position, Stream::kCorruption, x[0].numel(), torch::kFloat);
    const at::Tensor error = nets_[0].net->forward(x + 0.5 * noise.view_as(x)) - x;
    const at::Tensor mse =  // this rank's share: the sum over ranks is the mean
        error.square().sum() / static_cast<double>(in.position.global_batch * x[0].numel());
    return {.total = mse, .terms = {{"mse", mse.detach()}}};
  }

 private:
  std::vector<objectives::NamedNet> nets_{{"net", std::make_shared<Denoiser>(), true}};
  std::vector<objectives::Phase> phases_{{.net = "net", .terms = {"mse"}}};
};

int main() {
  comm::MpiSession session(comm::started_by_mpirun());
  const auto comm = comm::make_comm(session);
  torch::manual_seed(1);  // the same initial weights on every rank
  Denoising objective;
  engine::Engine engine(objective, *comm, {.learning_rate = 3e-3}, engine::Precision::kFloat32);
  const std::int64_t local = 8, batch = local * comm->world(), first = local * comm->rank();
  for (std::int64_t step = 0; step < 400; ++step) {
    const at::Tensor slots = torch::arange(first, first + local).view({local, 1, 1, 1});
    const at::Tensor pixels = torch::arange(768).view({1, 3, 16, 16});
    const at::Tensor images = torch::sin((slots + step * batch) * 0.7 + pixels * 0.02);
    const engine::MicroBatch all{.position = {1, step, first, local, batch},
                                 .images_NCHW = {&images, 1}};
    const auto report = engine.step({.micro_batches = {&all, 1},
                                     .images_before = static_cast<double>(step * batch),
                                     .images_total = static_cast<double>(400 * batch)},
                                    [](engine::Stage) {});
    if (comm->rank() == 0 && step % 399 == 0) std::printf("mse %.4f\n", report.losses[0].value);
  }
  comm->close();
  session.close();
}
