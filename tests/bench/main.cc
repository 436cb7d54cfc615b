// bench: one measurement a run, printed as a line of JSON. tests/bench/run calls it for all of
// them, beside their limits and peers; README.md says what each is.

#include <CLI/CLI.hpp>
#include <string>

#include "tests/bench/files.h"
#include "tests/bench/limits.h"
#include "tests/bench/log.h"
#include "tests/bench/reading.h"
#include "tests/bench/several.h"

int main(int argc, char** argv) {
  CLI::App app("one measurement, as a line of JSON");
  app.require_subcommand(1);
  std::string path;
  size_t length = 155;
  size_t piece = 1 << 20;
  uint64_t bytes = 1 << 30;
  uint64_t size = 100'000;
  double seconds = 1;
  int writers = 1;
  bool flag = false;

  const auto add = [&](const char* name, const char* what) {
    CLI::App* command = app.add_subcommand(name, what);
    command->add_option("--length", length, "of an entry, or a line with its newline");
    command->add_option("--piece", piece, "bytes at a time");
    command->add_option("--bytes", bytes, "in all");
    command->add_option("--size", size, "entries in all");
    command->add_option("--seconds", seconds);
    command->add_option("--writers", writers, "or readers, or submissions at a time");
    return command;
  };
  const auto on = [&](const char* name, const char* what, const char* flag_name = nullptr) {
    CLI::App* command = add(name, what);
    command->add_option("path", path)->required();
    if (flag_name != nullptr) command->add_flag(flag_name, flag);
    return command;
  };

  add("hash", "leaf and node hashing")->callback([&] { bench::MeasureHash(length, seconds); });
  on("disk", "writes and syncs of --piece bytes", "--prewritten")->callback([&] {
    bench::MeasureDisk(path, bytes, piece, flag);
  });
  on("flush", "writes and syncs of 4 KiB, in place")->callback([&] {
    bench::MeasureFlush(path, seconds);
  });
  on("group", "a group commit without a log")->callback([&] {
    bench::MeasureGroup(path, length, writers, seconds);
  });
  on("batches", "the log: --writers submissions at a time, drained")->callback([&] {
    bench::MeasureBatches(path, length, piece, writers, bytes);
  });
  on("writers", "the log: threads that each wait for their entry")->callback([&] {
    bench::MeasureWriters(path, length, writers, seconds);
  });
  on("make", "a store of --size entries", "--crash")->callback([&] {
    bench::MakeStore(path, length, size, flag);
  });
  on("open", "an opening, and --size appends after it", "--crash")->callback([&] {
    bench::MeasureOpening(path, size, flag);
  });
  on("share", "the log: one of several processes, begins when told", "--batches")->callback([&] {
    bench::MeasureShare(path, length, piece, writers, seconds, flag);
  });
  on("size", "entries of a store")->callback([&] { bench::PrintSize(path); });
  on("stream", "scans of a store")->callback([&] { bench::MeasureStream(path, writers, seconds); });
  on("random", "single entries of a store")->callback([&] { bench::MeasureRandom(path, seconds); });
  on("lines", "lines into a file", "--open-each")->callback([&] {
    bench::MeasureLines(path, length, writers, seconds, flag);
  });
  on("copy", "lines into a file, in large writes", "--frames")->callback([&] {
    bench::MeasureCopy(path, length, bytes, piece, flag);
  });
  add("reads", "opens, reads and closes the files named on standard input")->callback([&] {
    bench::MeasureReads(writers, static_cast<int>(size));
  });
  CLI11_PARSE(app, argc, argv);
  return 0;
}
