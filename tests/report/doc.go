// Command report runs test commands that print "go test -json" events and sums
// them up.
//
//	report -o build 'host=go test -json ./...' 'full!=build/vm -json'
//
// Every argument is a name and a command for the shell; with "!" no test of that
// command may be skipped. The commands run one after the other, a line for every
// package that ended shows the progress. The last line is
// "N passed, N failed, N skipped", and the exit status is 0 only if something
// passed, nothing failed and every command succeeded.
//
// Be aware: the closing line goes to summary.txt in the folder given with -o too,
// beside the events of each command in NAME.json.
package main
