// The standard process_* metrics of this process, read from /proc when scraped.
// Thread safety: may be called from any thread.
#pragma once

#include <vector>

namespace prometheus {
struct MetricFamily;
}

namespace atelier::monitoring {

/// Families whose source cannot be read are left out.
[[nodiscard]] std::vector<prometheus::MetricFamily> collect_process_metrics();

}  // namespace atelier::monitoring
