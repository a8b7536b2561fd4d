// Command culvert makes a Linux host play its part in a fleet: NAT gateway, virtual IPs, edge, and later load balancer.
//
//	culvert validate -f fleet.yaml
//	culvert allocate -f fleet.yaml
//	culvert plan -f fleet.yaml --host hv1
//	culvert apply -f fleet.yaml --host hv1
//
// Be aware: the commands here only wire; each verb has a file of its own. Exit status 0 is success, 1 failure, 2 bad input or,
// for plan and allocate --check, that something would change.
package main
