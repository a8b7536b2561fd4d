// Package initramfs writes the root file system of a test machine: a cpio
// archive in the "newc" format that the kernel unpacks into memory.
//
//	w := initramfs.NewWriter(file)
//	w.Bytes("/etc/hosts", 0o644, []byte("127.0.0.1 localhost\n"))
//	w.Copy("/init", 0o755, "build/init")
//	w.Tool("nft") // the host's program with its libraries
//	err := w.Close()
//
// Be aware: methods after a failure do nothing and Close returns the first
// failure; a path is written once, the first writer wins.
package initramfs
