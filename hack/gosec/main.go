// Command gosec is gosec as a tool of go vet, which caches the findings of each package: "make check". It has a module
// of its own, to keep its dependencies out of the agent's. govulncheck is a tool of the same module.
package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/securego/gosec/v2/goanalysis"
	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/unitchecker"
)

// exceptions are the rules that do not fit a root daemon that manages the files of a host, each with the reason. All other
// exceptions are a "#nosec" with a reason at the line.
var exceptions = map[string]string{
	"G104": "an error that nobody can act upon: closing what was only read, writing to a buffer; staticcheck finds the others",
	"G115": "bytes of frames, ports and lengths, whose range the spec's rules or the line before hold; fuzz tests of api and link",
	"G301": "directories of configuration that others read: HAProxy, keepalived and ordinary users who ask for the status",
	"G302": "the same for files",
	"G304": "paths come from systemd, dpkg, /proc and the spec; what root acts on goes through reconcile/host/rootpath",
	"G306": "as G302",
	"G703": "as G304",
}

func main() {
	if err := goanalysis.Analyzer.Flags.Set("exclude", strings.Join(slices.Sorted(maps.Keys(exceptions)), ",")); err != nil {
		panic(err)
	}
	find := goanalysis.Analyzer.Run
	goanalysis.Analyzer.Run = func(pass *analysis.Pass) (any, error) {
		if !ships(pass.Pkg.Path()) {
			return nil, nil
		}
		report := pass.Report
		pass.Report = func(d analysis.Diagnostic) {
			if !strings.HasSuffix(pass.Fset.Position(d.Pos).Filename, "_test.go") {
				report(d)
			}
		}
		return find(pass)
	}
	unitchecker.Main(goanalysis.Analyzer)
}

// ships reports whether a package is part of the agent, not of its tests.
func ships(pkg string) bool {
	for _, tests := range []string{"/hack/", "/reconcile/faulty", "/reconcile/host/fake"} {
		if strings.Contains(pkg+"/", tests) {
			return false
		}
	}
	return true
}
