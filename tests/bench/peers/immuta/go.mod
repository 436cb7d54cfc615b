module tlogfs/tests/bench/peers/immuta

go 1.26.0

require ella.to/immuta v0.2.1-0.20260106014154-bcb8dd0ff0bb

require ella.to/solid v0.1.0 // indirect
