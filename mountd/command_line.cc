#include "mountd/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string_view>

#include "logcore/posix/files/journal.h"
#include "logcore/util/bytes.h"

namespace mountd {
namespace {

using logcore::Code;
using logcore::Fail;
using logcore::Result;
using logcore::Status;

constexpr char kAbout[] =
    "A transparency log that you mount. A line appended to MOUNTPOINT/add becomes an entry of\n"
    "an append-only Merkle log; checkpoint, tile/ and entries/ are read-only files beside it.";

// Parses `words` (without the program's name). A request for help or the version comes back as its
// text; an error as one line.
std::optional<Result<std::string>> Parse(CLI::App* app, std::vector<std::string> words) {
  std::reverse(words.begin(), words.end());  // as CLI11 wants them
  try {
    app->parse(words);
    return std::nullopt;
  } catch (const CLI::CallForHelp&) {
    return app->help();
  } catch (const CLI::CallForVersion& version) {
    return std::string(version.what()) + "\n";
  } catch (const CLI::ParseError& error) {
    return Fail(Code::kInvalid,
                "command line: " + std::string(error.what()) + " (see tlogfs --help)");
  }
}

// Parses a number of bytes, or of K, M or G of them.
Result<uint64_t> ParseJournalSize(std::string_view text) {
  constexpr std::string_view kSuffixes = "KMG";
  std::string_view digits = text;
  const size_t suffix = text.empty() ? std::string_view::npos : kSuffixes.find(text.back());
  if (suffix != std::string_view::npos) digits.remove_suffix(1);
  const std::optional<uint64_t> number = logcore::ParseDecimal(digits);
  const uint64_t unit = suffix == std::string_view::npos ? 1 : uint64_t{1} << (10 * (suffix + 1));
  if (!number || *number > logcore::kMaxJournalLength / unit || *number * unit < kMinJournalSize ||
      *number * unit % logcore::kJournalBlock != 0) {
    return Fail(Code::kInvalid,
                "--journal-size " + std::string(text) +
                    ": not a size from 1M to 4G in whole 4K, with or without K, M, G");
  }
  return *number * unit;
}

// What `mount` and `mount.tlogfs` have in common.
struct MountWords {
  MountCommand command;
  std::vector<std::string> options;

  void AddTo(CLI::App* app) {
    app->add_option("STORE", command.store, "The store's directory")->type_name("")->required();
    app->add_option("MOUNTPOINT", command.mountpoint, "An existing directory")
        ->type_name("")
        ->required();
    app->add_option("-o", options, "See below; may be given more than once")
        ->type_name("OPT,OPT")
        ->allow_extra_args(false);
    app->footer(std::string(MountOptionsHelp()));
  }
  Result<Command> Take() {
    for (const std::string& list : options) {
      RETURN_IF_ERROR(ParseMountOptions(list, &command.options));
    }
    return Command(command);
  }
};

Result<Command> ParseUnmountCommandLine(std::vector<std::string> words) {
  CLI::App app("Called by umount(8) for mounted logs. Returns when the store is at rest.",
               "umount.tlogfs");
  UnmountCommand unmount;
  app.add_option("MOUNTPOINT", unmount.mountpoint, "Where a log is mounted")
      ->type_name("")
      ->required();
  bool ignored = false;
  std::string type;
  app.add_flag("-f", unmount.force, "Force: who waits for an answer gets an error");
  app.add_flag("-l", unmount.lazy, "Lazy: takes the mount away now; what is open stays open");
  app.add_flag("-r", unmount.read_only_else, "Make it read-only if it is busy");
  app.add_flag("-n,-v", ignored, "Accepted, for umount(8)");
  app.add_option("-N", unmount.mount_namespace, "Unmount in this mount namespace")
      ->type_name("FILE");
  app.add_option("-t", type, "Accepted, for umount(8)")->type_name("TYPE");
  if (auto other = Parse(&app, std::move(words))) {
    ASSIGN_OR_RETURN(std::string text, *std::move(other));
    return Command(ShowText{std::move(text)});
  }
  return Command(unmount);
}

Result<Command> ParseMountCommandLine(std::vector<std::string> words) {
  CLI::App app("Called by mount(8) for -t tlogfs, and for lines of fstab(5) of that type.",
               "mount.tlogfs");
  MountWords mount;
  mount.AddTo(&app);
  bool ignored = false;
  std::string type;
  app.add_flag("-f", mount.command.fake, "Fake: check the arguments, mount nothing");
  app.add_flag("-s,-n,-v", ignored, "Accepted, for mount(8)");
  app.add_option("-N", mount.command.mount_namespace, "Mount in this mount namespace")
      ->type_name("FILE");
  app.add_option("-t", type, "Accepted, for mount(8)")->type_name("TYPE");
  if (auto other = Parse(&app, std::move(words))) {
    ASSIGN_OR_RETURN(std::string text, *std::move(other));
    return Command(ShowText{std::move(text)});
  }
  return mount.Take();
}

Result<Command> ParseProgramCommandLine(std::vector<std::string> words) {
  CLI::App app(kAbout, "tlogfs");
  app.set_version_flag("--version", "tlogfs " TLOGFS_VERSION);
  app.require_subcommand(0, 1);  // None: said below, after what was not understood.
  app.get_formatter()->label("SUBCOMMAND", "COMMAND");
  app.get_formatter()->label("Subcommands", "Commands");

  InitCommand init;
  CLI::App* init_app = app.add_subcommand(
      "init", "Creates a log and its keys in STORE; prints the verifier key (vkey)");
  init_app->add_option("STORE", init.store, "A new or empty directory")->type_name("")->required();
  init_app->add_option("--origin", init.origin, "The log's name, such as example.com/log")
      ->type_name("NAME")
      ->required();
  init_app
      ->add_option("--key", init.key_file,
                   "Import this PRIVATE+KEY+... note key; its name may be another than the log's")
      ->type_name("FILE");

  std::string journal_size;
  init_app
      ->add_option("--journal-size", journal_size,
                   "Length of the journal, 1M to 4G (default 64M, less on a small disk)")
      ->type_name("SIZE");

  MountWords mount;
  CLI::App* mount_app = app.add_subcommand(
      "mount", "Mounts the log of STORE at MOUNTPOINT; returns when the mount answers");
  mount.AddTo(mount_app);
  mount_app->add_flag("-f", mount.command.foreground, "Stay in the foreground");

  CheckCommand check;
  CLI::App* check_app = app.add_subcommand(
      "check",
      "Rebuilds a log from its entries and compares everything. Exit code: 0 sound, 1 damaged,\n"
      "2 could not run");
  check_app->add_option("STORE", check.store, "The store's directory")->type_name("")->required();
  check_app->add_option("--vkey", check.vkey, "The verifier key that must have signed")
      ->type_name("V");

  BackupCommand backup;
  CLI::App* backup_app = app.add_subcommand(
      "backup",
      "Copies a log, which may be in use, as of its newest checkpoint: all of it into an empty\n"
      "DEST, or what is new into an older backup. `tlogfs adopt` makes a backup a store again");
  backup_app->add_option("STORE", backup.store, "The store's directory")->type_name("")->required();
  backup_app
      ->add_option("DEST", backup.destination,
                   "An older backup of this log, or a new or empty directory")
      ->type_name("")
      ->required();

  AdoptCommand adopt;
  CLI::App* adopt_app = app.add_subcommand(
      "adopt",
      "Lets a backup, a copied or restored store be written again, if it covers CHECKPOINT");
  adopt_app->add_option("STORE", adopt.store, "The copy")->type_name("")->required();
  adopt_app
      ->add_option("--newest", adopt.newest,
                   "The newest signed checkpoint of this log that anybody saw (- is stdin)")
      ->type_name("CHECKPOINT")
      ->required();

  RepairCommand repair;
  CLI::App* repair_app = app.add_subcommand(
      "repair", "Makes lost or damaged files that follow from the entries again");
  repair_app->add_option("STORE", repair.store, "The store's directory")->type_name("")->required();
  repair_app
      ->add_option("--newest", repair.newest,
                   "The newest signed checkpoint of this log that anybody saw (- is stdin):\n"
                   "needed if the store's own is lost")
      ->type_name("CHECKPOINT");

  if (auto other = Parse(&app, std::move(words))) {
    ASSIGN_OR_RETURN(std::string text, *std::move(other));
    return Command(ShowText{std::move(text)});
  }
  if (*init_app) {
    if (!journal_size.empty()) {
      ASSIGN_OR_RETURN(init.journal_size, ParseJournalSize(journal_size));
    }
    return Command(init);
  }
  if (*check_app) return Command(check);
  if (*backup_app) return Command(backup);
  if (*adopt_app) return Command(adopt);
  if (*mount_app) return mount.Take();
  if (*repair_app) return Command(repair);
  return Fail(Code::kInvalid, "command line: a command is missing (see tlogfs --help)");
}

}  // namespace

std::string_view CalledAs(const std::vector<std::string>& args) {
  std::string_view name = args.empty() ? "" : std::string_view(args[0]);
  name.remove_prefix(name.rfind('/') + 1);  // npos + 1 is 0
  return name;
}

Result<Command> ParseCommandLine(const std::vector<std::string>& args) {
  const std::string_view name = CalledAs(args);
  std::vector<std::string> words(args.begin() + (args.empty() ? 0 : 1), args.end());
  if (name == "mount.tlogfs" || name == "mount.fuse.tlogfs") {
    return ParseMountCommandLine(std::move(words));
  }
  if (name == "umount.tlogfs" || name == "umount.fuse.tlogfs") {
    return ParseUnmountCommandLine(std::move(words));
  }
  return ParseProgramCommandLine(std::move(words));
}

}  // namespace mountd
