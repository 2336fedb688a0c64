#include "trainer/bench/optimizer_bench.h"

#include <ATen/Parallel.h>
#include <nlohmann/json.hpp>
#include <torch/torch.h>

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "launch/comm/self_comm.h"
#include "trainer/bench/timing.h"
#include "trainer/engine/optimizer.h"

namespace atelier::bench {
namespace {

using Json = nlohmann::ordered_json;

// Adam reads weight, gradient, two moments and the average of a parameter and writes four of them;
// triad (McCalpin 1995) reads two values of an element and writes one.
constexpr double kAdamBytes = 36;
constexpr double kTriadBytes = 12;
constexpr double kDecay = 0.999;

class ManyTensors final : public networks::Net {
 public:
  ManyTensors(std::int64_t parameters, std::int64_t tensors) {
    for (std::int64_t i = 0; i < tensors; ++i) {
      register_parameter(text("p", i), torch::sin(torch::arange(parameters / tensors) + i));
    }
  }
  [[nodiscard]] at::Tensor forward(const at::Tensor& x) override { return x; }
};

engine::OptimizerConfig config() {
  engine::OptimizerConfig adam;
  adam.learning_rate = 1e-3;
  adam.beta1 = 0.9;
  adam.beta2 = 0.999;
  return adam;
}

class Ours {
 public:
  explicit Ours(const OptimizerBenchOptions& options)
      : net_(options.parameters, options.tensors), flat_(net_, torch::kFloat, comm_) {
    const torch::NoGradGuard no_grad;
    flat_.gradients().copy_(torch::cos(flat_.trained()));
    average_ = flat_.weights().clone();
    optimizer_ = engine::make_optimizer(config(), flat_.gradients());
  }
  void step() {
    optimizer_->update(flat_, average_,
                       {.learning_rate = 1e-3, .gradient_scale = 1.0, .average_decay = kDecay});
  }
  [[nodiscard]] at::Tensor first() { return flat_.parameter(0).detach(); }

 private:
  comm::SelfComm comm_;
  ManyTensors net_;
  engine::FlatParameters flat_;
  at::Tensor average_;
  std::unique_ptr<engine::HostOptimizer> optimizer_;
};

// PyTorch's best: one fused call over the list of tensors, one for the average.
class Peer {
 public:
  explicit Peer(const OptimizerBenchOptions& options) {
    const torch::NoGradGuard no_grad;
    ManyTensors net(options.parameters, options.tensors);
    for (const at::Tensor& parameter : net.parameters()) {
      weights_.push_back(parameter.detach().clone());
      gradients_.push_back(torch::cos(weights_.back()));
      first_moments_.push_back(torch::zeros_like(weights_.back()));
      second_moments_.push_back(torch::zeros_like(weights_.back()));
      averages_.push_back(weights_.back().clone());
      steps_.push_back(torch::zeros({}));
    }
  }
  void step() {
    const torch::NoGradGuard no_grad;
    at::_foreach_add_(steps_, 1);
    at::_fused_adam_(weights_, gradients_, first_moments_, second_moments_, {}, steps_, 1e-3, 0.9,
                     0.999, 0.0, 1e-8, false, false);
    at::_foreach_lerp_(averages_, weights_, 1 - kDecay);
  }
  [[nodiscard]] const at::Tensor& first() const { return weights_.front(); }

 private:
  std::vector<at::Tensor> weights_, gradients_, first_moments_, second_moments_, averages_, steps_;
};

// c = a + s b over as many elements as there are parameters: what memory gives plain loops.
class Triad {
 public:
  explicit Triad(std::int64_t elements)
      : a_(torch::ones({elements})), b_(torch::ones({elements})), c_(torch::zeros({elements})) {}
  void run() {
    const float* const a = a_.data_ptr<float>();
    const float* const b = b_.data_ptr<float>();
    float* const c = c_.data_ptr<float>();
    at::parallel_for(0, a_.numel(), 1 << 16, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) c[i] = a[i] + 3.0F * b[i];
    });
  }

 private:
  at::Tensor a_, b_, c_;
};

void require_equal_updates(Ours& ours, Peer& peer) {
  for (int i = 0; i < 3; ++i) {
    ours.step();
    peer.step();
  }
  const double apart = (ours.first() - peer.first()).abs().max().item<double>();
  if (apart <= 1e-6) return;
  throw DeviceError(text("After three steps our weights are ", apart, " from PyTorch's."),
                    "Do not trust this build: run its tests.");
}

}  // namespace

std::string optimizer_bench(const OptimizerBenchOptions& options) {
  Ours ours(options);
  Peer peer(options);
  Triad triad(options.parameters);
  require_equal_updates(ours, peer);
  const auto seconds = take_turns(
      options.rounds, {[&] { ours.step(); }, [&] { peer.step(); }, [&] { triad.run(); }});
  const auto parameters = static_cast<double>(options.parameters);
  const double ours_rate = kAdamBytes * parameters / quantiles(seconds[0]).median;
  const double triad_rate = kTriadBytes * parameters / quantiles(seconds[2]).median;
  const Quantiles to_peer = ratios(seconds[1], seconds[0]);
  const Quantiles to_triad = ratios(seconds[2], seconds[0]);
  const Json result{
      {"bench", "optimizer"},
      {"parameters", options.parameters},
      {"tensors", options.tensors},
      {"threads", at::get_num_threads()},
      {"milliseconds", 1e3 * quantiles(seconds[0]).median},
      {"bytes_per_second", ours_rate},
      {"triad_bytes_per_second", triad_rate},
      {"of_triad", to_triad.median * kAdamBytes / kTriadBytes},
      {"peer_milliseconds", 1e3 * quantiles(seconds[1]).median},
      {"faster_than_peer",
       {{"median", to_peer.median}, {"tenth", to_peer.tenth}, {"ninetieth", to_peer.ninetieth}}}};
  return result.dump(1) + "\n";
}

std::string optimizer_bench_text(const std::string& json) {
  const Json result = Json::parse(json);
  const auto number = [&](const char* key) { return result.at(key).get<double>(); };
  return text("Adam with average, ", human_count(result.at("parameters").get<std::int64_t>()),
              " parameters in ", result.at("tensors").get<std::int64_t>(), " tensors, ",
              result.at("threads").get<int>(), " thread(s)\n  ", fixed(number("milliseconds"), 1),
              " ms, ", fixed(number("bytes_per_second") / 1e9, 1),
              " GB/s: ", fixed(number("of_triad"), 2), " of what triad reaches here (",
              fixed(number("triad_bytes_per_second") / 1e9, 1), " GB/s)\n  ",
              fixed(result.at("faster_than_peer").at("median").get<double>(), 2),
              " times as fast as PyTorch's fused Adam and average (",
              fixed(number("peer_milliseconds"), 1), " ms)\n");
}

}  // namespace atelier::bench
