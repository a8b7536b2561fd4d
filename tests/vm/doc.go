// Command vm runs tests, or one command, on a full kernel: Debian's packaged one
// in an emulated machine.
//
//	go run ./tests/vm                          # every package whose tests speak netlink
//	go run ./tests/vm -v -run Redirect ./nft   # some tests of one package
//	go run ./tests/vm -v ./tests/etcd          # what of that module needs this kernel
//	go run ./tests/vm -update ./nft            # bring back the golden files that it rewrites
//	go run ./tests/vm -exec "culvert lab demo" # one command, with its exit status
//
// All of it happens in one boot. The work tree is at /src in the guest and a
// package's tests run in their folder there; the environment has
// CULVERT_KERNEL=full, which means that nothing may be skipped. The kernel is
// kept below the user's cache folder, or below $CULVERT_CACHE.
//
// Be aware: the exit status is 0 only if the guest has reported everything to
// its end, at least one test passed, and none failed or was skipped. Under "go
// run" any other status becomes 1.
package main
