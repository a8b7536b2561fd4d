// Package etcd tests fleets in etcd against real servers: clusters of one or three members in this process, which can be
// killed, cut off from each other and compacted. It is a module of its own so that the product does not depend on the server.
//
//	c := newCluster(t, 3)
//	c.partition(0)            // cut off from the other two
//	store := c.open(t)
//
// Be aware: members listen on ports of the loopback address and keep their files in the test's folder, without fsync.
package etcd
