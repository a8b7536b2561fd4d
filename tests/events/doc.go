// Package events reads streams of "go test -json" and says what they amount to.
//
//	tally := events.NewTally()
//	stream := events.Stream{Name: "full", NoSkips: true}
//	err := tally.Read(stream, r, progress)
//	tally.Report(os.Stdout) // failures, slowest, skips, "N passed, N failed, N skipped"
//	ok := tally.OK()
//
// Be aware: tests that contain subtests are counted only when they failed
// without one of those failing; a test or a package that began and never ended
// counts as failed.
package events
