// What an opening has to do, for every writer state and all else that it depends on. The table is
// that of opening.h, written down again.

#include "logcore/posix/commit/opening.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace {

using namespace logcore;

// What a row says of a fact.
enum Fact { kNo, kYes, kAny };
bool Fits(Fact fact, bool value) {
  return fact == kAny || (fact == kYes) == value;
}

struct Row {
  Fact counts;  // There is a writer state of this boot.
  Fact idle;    // its phase
  Fact committing;
  Fact advancing;
  Fact doubtful;
  Fact direct;
  Fact has_replay_point;
  Fact is_published;
  OpeningPlan plan;
};

const std::vector<Row> kTable = {
    // counts idle committing advancing doubtful direct replay point published
    {kYes, kYes, kAny, kNo, kNo, kAny, kYes, kAny, OpeningPlan::kNothing},
    {kYes, kYes, kAny, kNo, kNo, kAny, kNo, kAny, OpeningPlan::kReplayPutBack},
    // Its process died in a commit, and nothing else was under way.
    {kYes, kNo, kYes, kNo, kNo, kNo, kYes, kAny, OpeningPlan::kReplayRecord},
    {kYes, kNo, kYes, kNo, kNo, kNo, kNo, kAny, OpeningPlan::kRefuse},
    // The same, and frames outside of the record may have been written, and not synced.
    {kYes, kNo, kYes, kNo, kNo, kYes, kYes, kAny, OpeningPlan::kReplay},
    {kYes, kNo, kYes, kNo, kNo, kYes, kNo, kAny, OpeningPlan::kRefuse},
    // A sync failed.
    {kYes, kNo, kNo, kAny, kAny, kAny, kYes, kAny, OpeningPlan::kReplay},
    {kYes, kNo, kNo, kAny, kAny, kAny, kNo, kAny, OpeningPlan::kRefuse},
    // The replay point was being moved, or a commit that died has left a doubt.
    {kYes, kYes, kAny, kYes, kAny, kAny, kYes, kAny, OpeningPlan::kReplay},
    {kYes, kYes, kAny, kYes, kAny, kAny, kNo, kAny, OpeningPlan::kRefuse},
    {kYes, kYes, kAny, kNo, kYes, kAny, kYes, kAny, OpeningPlan::kReplay},
    {kYes, kYes, kAny, kNo, kYes, kAny, kNo, kAny, OpeningPlan::kRefuse},
    {kYes, kNo, kYes, kYes, kAny, kAny, kYes, kAny, OpeningPlan::kReplay},
    {kYes, kNo, kYes, kYes, kAny, kAny, kNo, kAny, OpeningPlan::kRefuse},
    {kYes, kNo, kYes, kNo, kYes, kAny, kYes, kAny, OpeningPlan::kReplay},
    {kYes, kNo, kYes, kNo, kYes, kAny, kNo, kAny, OpeningPlan::kRefuse},
    // Another boot, a copy, or a state that is torn.
    {kNo, kAny, kAny, kAny, kAny, kAny, kYes, kNo, OpeningPlan::kReplayNewest},
    {kNo, kAny, kAny, kAny, kAny, kAny, kYes, kYes, OpeningPlan::kReplayPutBack},
    {kNo, kAny, kAny, kAny, kAny, kAny, kNo, kAny, OpeningPlan::kRefuse},
};

TEST(OpeningTest, EveryStateHasOneRowAndThatSaysThePlan) {
  std::vector<int> uses(kTable.size());
  for (const WriterPhase phase :
       {WriterPhase::kIdle, WriterPhase::kCommitting, WriterPhase::kPoisoned}) {
    for (unsigned bits = 0; bits < 64; ++bits) {
      const auto bit = [bits](unsigned number) { return (bits >> number & 1) != 0; };
      const WriterState writer{
          .boot_id = {}, .phase = phase, .advancing = bit(0), .direct = bit(1), .doubtful = bit(2)};
      const OpeningFacts facts{
          .writer = bit(3) ? &writer : nullptr, .has_replay_point = bit(4), .is_published = bit(5)};
      int rows = 0;
      for (size_t i = 0; i < kTable.size(); ++i) {
        const Row& row = kTable[i];
        if (!Fits(row.counts, bit(3)) || !Fits(row.idle, phase == WriterPhase::kIdle) ||
            !Fits(row.committing, phase == WriterPhase::kCommitting) ||
            !Fits(row.advancing, bit(0)) || !Fits(row.direct, bit(1)) ||
            !Fits(row.doubtful, bit(2)) || !Fits(row.has_replay_point, bit(4)) ||
            !Fits(row.is_published, bit(5))) {
          continue;
        }
        ++rows;
        ++uses[i];
        EXPECT_EQ(PlanOpening(facts), row.plan) << "row " << i << ", bits " << bits;
      }
      EXPECT_EQ(rows, 1) << "bits " << bits;
    }
  }
  for (size_t i = 0; i < uses.size(); ++i) EXPECT_LT(0, uses[i]) << "row " << i;
}

}  // namespace
