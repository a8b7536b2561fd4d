// Package kernel keeps Debian's packaged kernels for test machines in a cache
// folder and knows which files a set of modules consists of.
//
//	k, err := kernel.Get(cacheDir, "6.12") // downloads what is not there yet
//	mods, err := k.Modules(names)          // with dependencies, in load order
//	data := mods[0].Bytes()                // as the kernel loads it
//
// Be aware: a kernel that is in the cache is used without asking for a newer
// one; remove its folder for that. Only amd64 has kernels here.
package kernel
