// Package confine takes the file system away from a process that makes network namespaces.
//
//	if err := confine.FileSystem("/run/culvert", "/run/culvert.lock"); err != nil {
//		return err
//	}
//	// Started anew: all is read-only but these, the names of namespaces, and the kernel's network parameters.
//
// A service manager's own means (ProtectSystem= and its like, systemd.exec(5)) cut the service's mounts off from the host's. Names of
// network namespaces are mounts: nobody else would see those that the service makes, and they would end with it. Here they
// stay shared, and nothing else does.
//
// Be aware:
//   - The process is replaced by a new run of the same program, with the same process id. Call [FileSystem] before anything else.
//   - It takes CAP_SYS_ADMIN, and Linux 5.12 (mount_setattr(2)).
//   - Whoever has CAP_SYS_ADMIN can undo it. It is against mistakes, and for what has found a hole but not this text; system-call
//     filters go with it.
package confine
