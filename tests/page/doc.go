// Package page loads the status page in a browser: a lab with traffic, a daemon as a process of its own, and Chromium without a window and
// with scripts switched off. What the browser shows is compared with what conntrack(8) lists.
//
// "go test ./tests/page -update" takes the pictures of docs/images anew.
//
// Be aware:
//   - It needs root and the program chromium, which tests/setup.sh installs.
//   - It runs on the machine's own kernel alone, so it links nothing that speaks netlink; the numbers of load balancers, which take IPVS,
//     are the matter of tests/observe.
package page
