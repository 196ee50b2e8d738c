package evidencetest

import (
	"math/big"
	"time"
)

// VICAL signs a list of authorities, each for its kinds of document, in the name of a.
func (a *Authority) VICAL(now time.Time, docTypes []string, authorities ...*Authority) ([]byte, error) {
	infos := []any{}
	for _, o := range authorities {
		infos = append(infos, map[string]any{
			"certificate": o.Certificate.Raw, "serialNumber": new(big.Int).Set(o.Certificate.SerialNumber),
			"ski": o.Certificate.SubjectKeyId, "docType": docTypes, "issuingCountry": o.Country,
		})
	}
	now = now.UTC().Truncate(time.Second)
	payload, err := deterministic.Marshal(map[string]any{
		"version": "1.0", "vicalProvider": a.Certificate.Subject.CommonName, "date": now,
		"nextUpdate": now.AddDate(0, 1, 0), "vicalIssueID": 1, "certificateInfos": infos,
	})
	if err != nil {
		return nil, err
	}
	return coseSign(a.Credentials.Key, map[int]any{33: a.Credentials.Certificate.Raw}, payload, false)
}
