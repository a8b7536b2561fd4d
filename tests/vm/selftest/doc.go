// Package selftest checks that a full kernel has what Culvert builds on, so that
// a scenario that fails there is not a missing module in disguise.
//
//	go run ./tests/vm ./tests/vm/selftest
//
// Be aware: it has only tests, and they run only where CULVERT_KERNEL=full
// promises such a kernel.
package selftest
