// Package e2e holds the end-to-end tests: rlb-agent on real Debian hosts in the lab, with the real programs. They run
// with RLB_LAB=1, as root ("make test"); a plain "go test" skips them and says why.
package e2e
