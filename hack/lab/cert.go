package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/netip"
	"time"
)

// cheapCurves makes handshakes cheap: the lab measures the network, not the cipher.
var cheapCurves = []tls.CurveID{tls.X25519}

// SelfSigned makes a server's certificate for a name and an address, valid for a year; the second result is the
// certificate in PEM.
func SelfSigned(name string, addr netip.Addr) (*tls.Config, []byte, error) {
	return selfSigned(name, addr, time.Now().AddDate(1, 0, 0))
}

func selfSigned(name string, addr netip.Addr, until time.Time) (*tls.Config, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: name},
		DNSNames:              []string{name},
		IPAddresses:           []net.IP{addr.AsSlice()},
		NotBefore:             until.AddDate(-1, 0, -1),
		NotAfter:              until,
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	config := &tls.Config{
		Certificates:           []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		CurvePreferences:       cheapCurves,
		SessionTicketsDisabled: true,
	}
	return config, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}
