// Package netns opens, makes and removes network namespaces, and runs functions inside them.
//
//	ns, err := netns.Open("culvert-acme")
//	defer ns.Close()
//	err = ns.Do(func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) })
//
// Be aware: namespaces are the named ones that `ip netns` shows, bind mounts in [Dir]. A name vanishes at once when it is
// removed; the kernel ends the namespace later, when the last socket, process and descriptor in it is gone.
package netns
