#include "trainer/device/read_back.h"

#include <thread>

#include <c10/core/impl/VirtualGuardImpl.h>

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "trainer/device/device.h"

namespace atelier::device {

ReadBack::ReadBack(const at::Tensor& values)
    : host_(staging(values.device(), values.sizes(), values.scalar_type())),
      event_(values.device().type()) {
  host_.copy_(values, /*non_blocking=*/true);
  event_.record(c10::impl::VirtualGuardImpl(values.device().type()).getStream(values.device()));
}

const at::Tensor& ReadBack::values(std::chrono::milliseconds deadline) {
  await(event_, deadline);
  return host_;
}

void await(const c10::Event& event, std::chrono::milliseconds deadline) {
  using Clock = std::chrono::steady_clock;
  constexpr int kSpins = 200;
  constexpr std::chrono::microseconds kNap{50};
  const auto end = Clock::now() + deadline;
  for (int i = 0; !event.query(); ++i) {
    if (i >= kSpins) std::this_thread::sleep_for(kNap);
    if (Clock::now() < end) continue;
    throw DeviceError(
        text("The device has not done within ",
             human_seconds(std::chrono::duration<double>(deadline).count()), " what it was asked."),
        "Look at nvidia-smi and the system log (dmesg) of that host; resume from the last "
        "checkpoint.");
  }
}

}  // namespace atelier::device
