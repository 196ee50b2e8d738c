package party

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"testing"
	"time"
)

func TestKeysOfBothAlgorithmsAreNamedByTheirThumbprint(t *testing.T) {
	for _, alg := range []string{"RS256", "ES256"} {
		k, err := newKey(alg, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		var public struct {
			Kid, Kty, Alg, N, Crv string
			X5C                   []string
		}
		if err := json.Unmarshal(k.Public, &public); err != nil {
			t.Fatal(err)
		}
		private, err := x509.ParsePKCS8PrivateKey(k.Private)
		if err != nil || public.Kid != k.ID || public.Alg != alg || len(public.X5C) != 1 {
			t.Fatalf("%+v: %v", public, err)
		}
		der, err := base64.StdEncoding.DecodeString(public.X5C[0])
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil || cert.CheckSignatureFrom(cert) == nil == cert.IsCA { // no authority, only a container of the key
			t.Logf("certificate: %v", err)
		}
		switch p := private.(type) {
		case *rsa.PrivateKey:
			if !p.PublicKey.Equal(cert.PublicKey) || p.N.BitLen() != 2048 || alg != "RS256" {
				t.Error("the certificate is of another key")
			}
		case *ecdsa.PrivateKey:
			if !p.PublicKey.Equal(cert.PublicKey) || alg != "ES256" {
				t.Error("the certificate is of another key")
			}
		}
	}
	// RFC 7638, section 3.1
	n, err := enc.DecodeString("0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw")
	if err != nil {
		t.Fatal(err)
	}
	got, err := describe(&rsa.PublicKey{N: new(big.Int).SetBytes(n), E: 65537})
	if err != nil || got.Kid != "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" {
		t.Errorf("thumbprint %s, %v", got.Kid, err)
	}
}
