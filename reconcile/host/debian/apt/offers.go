package apt

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"rlb.dev/rlb-agent/reconcile/host"
	"rlb.dev/rlb-agent/reconcile/host/debian/program"
)

// Offers returns what apt would install of the named packages if none were held, and when its lists last changed. The
// directory of the lists changes with each update that brought something.
func (m *Manager) Offers(ctx context.Context, since time.Time, names ...string) (map[string]host.Offer, time.Time, error) {
	const do = "ask for updates of packages"
	if err := checkNames(do+" of", names); err != nil {
		return nil, time.Time{}, err
	}
	fi, err := os.Stat(m.lists)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, since, nil // apt was never used here
	}
	if err != nil {
		return nil, time.Time{}, host.Cannot(do, err)
	}
	lists := fi.ModTime().UTC()
	if !lists.After(since) || len(names) == 0 {
		return nil, lists, nil
	}
	out, err := m.programs.Do(ctx, do, program.Command{Name: "apt-cache", Args: append([]string{"policy", "--"}, names...)})
	if err != nil {
		return nil, time.Time{}, err
	}
	return parseOffers(out.Stdout), lists, nil
}

// parseOffers parses the output of "apt-cache policy": for each package the candidate, and below every version the archives
// that offer it. Debian's archive of security updates is recognized by its address.
//
//	haproxy:
//	  Installed: 2.6.12-1+deb12u3
//	  Candidate: 2.6.12-1+deb12u4
//	  Version table:
//	     2.6.12-1+deb12u4 500
//	        500 http://mirror.example/debian-security bookworm-security/main amd64 Packages
//	 *** 2.6.12-1+deb12u3 100
//	        100 /var/lib/dpkg/status
func parseOffers(text string) map[string]host.Offer {
	offers := map[string]host.Offer{}
	name, version := "", ""
	for line := range strings.Lines(text) {
		words := strings.Fields(strings.ReplaceAll(line, "***", ""))
		switch {
		case len(words) == 0:
		case !strings.HasPrefix(line, " "):
			name, version = strings.TrimSuffix(words[0], ":"), ""
		case words[0] == "Candidate:" && len(words) == 2 && words[1] != "(none)":
			offers[name] = host.Offer{Version: words[1]}
		case strings.HasPrefix(line, "        "): // an archive of the version above
			if o := offers[name]; o.Version == version && strings.Contains(line, "-security") {
				o.Security = true
				offers[name] = o
			}
		case len(words) == 2 && !strings.HasSuffix(words[0], ":"):
			version = words[0]
		}
	}
	return offers
}
