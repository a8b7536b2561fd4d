// Package tests holds the repository to its own rules: which room may import
// which (arrows_test.go), and what can be said of files without reading them
// (house_test.go).
//
//	go test ./tests
//
// Be aware: it looks at the work tree's files as they are, tracked or not, and
// has only tests.
package tests
