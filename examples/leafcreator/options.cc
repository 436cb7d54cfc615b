#include "options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <optional>
#include <string_view>

#include "logcore/tlog/entry_bundle.h"
#include "logcore/util/bytes.h"

namespace leafcreator {
namespace {

using logcore::Code;
using logcore::Fail;
using logcore::Result;

constexpr uint64_t kMaxWriters = 100'000;
constexpr uint64_t kMaxRate = 1'000'000;
constexpr uint64_t kMaxBatch = 1'000'000;
constexpr uint64_t kMaxMilliseconds = uint64_t{366} * 24 * 60 * 60 * 1000;

// "-num_writers" means "--num_writers".
std::string WithTwoDashes(const std::string& word) {
  const bool has_one =
      word.size() > 2 && word[0] == '-' && std::isalpha(static_cast<unsigned char>(word[1])) != 0;
  return has_one ? "-" + word : word;
}

std::optional<uint64_t> ParseMilliseconds(std::string_view text) {
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::optional<uint64_t> count = logcore::ParseDecimal(text.substr(0, digits));
  const std::string_view unit = text.substr(digits);
  uint64_t milliseconds = 0;
  if (unit == "ms") milliseconds = 1;
  if (unit == "s" || unit.empty()) milliseconds = 1000;
  if (unit == "m") milliseconds = 60 * 1000;
  if (unit == "h") milliseconds = 60 * 60 * 1000;
  if (!count || milliseconds == 0 || kMaxMilliseconds / milliseconds < *count) return std::nullopt;
  return *count * milliseconds;
}

// A flag whose value is a plain decimal within limits.
void AddNumber(CLI::App* app, const std::string& name, uint64_t least, uint64_t greatest,
               uint64_t* value, const std::string& about) {
  const auto set = [=](const std::string& text) {
    const std::optional<uint64_t> number = logcore::ParseDecimal(text);
    if (!number || *number < least || greatest < *number) {
      throw CLI::ValidationError(name, "not a number from " + std::to_string(least) + " to " +
                                           std::to_string(greatest) + ": " + text);
    }
    *value = *number;
  };
  app->add_option_function<std::string>(name, set, about)
      ->type_name("N")
      ->default_str(std::to_string(*value));
}

void AddFlags(CLI::App* app, Options* options) {
  Load* load = &options->load;
  app->add_option("--path", options->path, "The store's directory; `tlogfs init` makes one")
      ->type_name("STORE")
      ->required();
  AddNumber(app, "--num_writers", 1, kMaxWriters, &load->num_writers,
            "Writers; each waits until its leaf is durable before it comes with the next");
  AddNumber(app, "--leaves_per_second", 0, kMaxRate, &load->leaves_per_second,
            "Of each writer. Who is late catches up; 0: as fast as it goes");
  AddNumber(app, "--batch_size", 1, kMaxBatch, &load->batch_size,
            "Leaves that travel together, and 1 MiB, at most: all are committed, or none");
  AddNumber(app, "--leaf_size", 0, logcore::kMaxEntryLength, &load->leaf_size, "Bytes of a leaf");
  app->add_option_function<std::string>(
         "--duration",
         [options](const std::string& text) {
           const std::optional<uint64_t> milliseconds = ParseMilliseconds(text);
           if (!milliseconds) {
             throw CLI::ValidationError("--duration", "not a time such as 30s or 10m: " + text);
           }
           options->duration = std::chrono::milliseconds(*milliseconds);
         },
         "Such as 30s (ms, s, m or h); 0: until SIGINT or SIGTERM")
      ->type_name("TIME")
      ->default_str("0");
}

}  // namespace

Result<Options> ParseOptions(std::vector<std::string> words) {
  Options options;
  CLI::App app("Makes leaves, and appends them to a store; a line about it each second.",
               "leafcreator");
  AddFlags(&app, &options);
  std::transform(words.begin(), words.end(), words.begin(), WithTwoDashes);
  std::reverse(words.begin(), words.end());  // as CLI11 wants them
  try {
    app.parse(words);
  } catch (const CLI::CallForHelp&) {
    options.help = app.help();
  } catch (const CLI::ParseError& error) {
    return Fail(Code::kInvalid,
                "command line: " + std::string(error.what()) + " (see leafcreator --help)");
  }
  return options;
}

}  // namespace leafcreator
