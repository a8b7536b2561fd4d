package tests

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"testing"
)

// maxLines is how long a Go file may be.
const maxLines = 800

func TestHouse(t *testing.T) {
	files := repository(t)
	for _, check := range []func([]source) []string{checkLength, checkDocs, checkPlaces} {
		for _, finding := range check(files) {
			t.Error(finding)
		}
	}
}

// checkLength finds Go files that are too long to be read.
func checkLength(files []source) []string {
	var findings []string
	for _, file := range files {
		if lines := strings.Count(file.text, "\n"); strings.HasSuffix(file.path, ".go") && lines > maxLines {
			findings = append(findings, fmt.Sprintf("%s has %d lines, more than %d", file.path, lines, maxLines))
		}
	}
	return findings
}

func TestCheckLength(t *testing.T) {
	line := "// x\n"
	expect(t, checkLength([]source{{"nft/x.go", strings.Repeat(line, maxLines)}}), "")
	expect(t, checkLength([]source{{"nft/x.go", strings.Repeat(line, maxLines+1)}}), "nft/x.go has 801 lines")
	expect(t, checkLength([]source{{"go.sum", strings.Repeat(line, maxLines+1)}}), "")
}

// packageComment matches how a package introduces itself.
var packageComment = regexp.MustCompile(`(?m)^// (Package|Command) \w+ `)

// checkDocs finds packages without a doc.go that introduces them and names
// their limits.
func checkDocs(files []source) []string {
	docs := make(map[string]string)
	for _, file := range files {
		if path.Base(file.path) == "doc.go" {
			docs[path.Dir(file.path)] = file.text
		}
	}
	var findings []string
	seen := make(map[string]bool)
	for _, file := range files {
		dir := path.Dir(file.path)
		if !strings.HasSuffix(file.path, ".go") || strings.Contains(dir, "testdata") || seen[dir] {
			continue
		}
		seen[dir] = true
		doc, ok := docs[dir]
		switch {
		case !ok:
			findings = append(findings, dir+" has no doc.go")
		case !packageComment.MatchString(doc):
			findings = append(findings, dir+`/doc.go does not begin with "Package ..." or "Command ..."`)
		case !strings.Contains(doc, "Be aware:"):
			findings = append(findings, dir+`/doc.go has no "Be aware:"`)
		}
	}
	return findings
}

func TestCheckDocs(t *testing.T) {
	code := source{"nft/x.go", "package nft\n"}
	doc := func(text string) source { return source{"nft/doc.go", text + "package nft\n"} }
	expect(t, checkDocs([]source{code}), "nft has no doc.go")
	expect(t, checkDocs([]source{code, doc("")}), "does not begin")
	expect(t, checkDocs([]source{code, doc("// Package nft programs rules.\n")}), `no "Be aware:"`)
	expect(t, checkDocs([]source{code, doc("// Package nft programs rules.\n//\n// Be aware: x\n")}), "")
	expect(t, checkDocs([]source{{"nft/testdata/bad.go", "package bad\n"}, {"README.md", "x"}}), "")
}

// places are folders of single machines and hosts of package registries, which
// mean nothing to anybody else. They are put together here so that this file
// does not contain them.
var places = regexp.MustCompile(`(?:^|[^\w.~-])/(?:` + strings.Join([]string{
	"wo" + "rk", "ho" + "me", "Us" + "ers", "work" + "space", "ro" + "ot/go",
}, "|") + `)/\w|` + strings.Join([]string{
	`proxy\.gol` + `ang\.org`, `sum\.gol` + `ang\.org`, `deb\.deb` + `ian\.org`, `registry\.npm` + `js\.org`, `pypi\.o` + `rg`,
}, "|"))

// checkPlaces finds paths and hosts that belong to somebody's machine.
func checkPlaces(files []source) []string {
	var findings []string
	for _, file := range files {
		if strings.Contains(file.text, "\x00") {
			continue // no text
		}
		number := 0
		for line := range strings.Lines(file.text) {
			number++
			if found := places.FindString(line); found != "" {
				findings = append(findings, fmt.Sprintf("%s:%d: names a place of one machine: %s", file.path, number, strings.TrimSpace(found)))
			}
		}
	}
	return findings
}

func TestCheckPlaces(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"see /wo" + "rk/main/x", "doc.md:1: names a place of one machine: /wo"},
		{"\n(/ho" + "me/jo/x)", "doc.md:2"},
		{"GOPROXY=https://proxy.gol" + "ang.org", "proxy"},
		{"/src/wo" + "rk/x and wo" + "rk/x and net" + "work/x and a//wo" + "rker", ""},
		{"/etc/culvert/fleet.yaml", ""},
		{"\x00 /wo" + "rk/main", ""},
	} {
		expect(t, checkPlaces([]source{{"doc.md", tt.text}}), tt.want)
	}
}
