package storage

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Settings are the wire type EnvStorage, with ours. One place of them is used: the only
// one, or that of Region.
type Settings struct {
	S3US    string `json:"s3_bucket_us,omitempty"`
	S3EU    string `json:"s3_bucket_eu,omitempty"`
	S3IN    string `json:"s3_bucket_in,omitempty"`
	Role    string `json:"aws_role_arn,omitempty"`
	AzureUS string `json:"azure_blob_us,omitempty"` // address of a container with its shared access signature
	AzureEU string `json:"azure_blob_eu,omitempty"`
	AzureIN string `json:"azure_blob_in,omitempty"`

	Region   string `json:"region,omitempty"`               // ours: us, eu or in, needed where several places are given
	Endpoint string `json:"s3_endpoint,omitempty"`          // ours: of another S3-compatible service; empty: Amazon's
	S3Region string `json:"s3_region,omitempty"`            // ours: its region; empty: Amazon's of the reference
	Key      string `json:"s3_access_key_id,omitempty"`     // ours
	Secret   string `json:"s3_secret_access_key,omitempty"` // ours; never shown
}

// amazon are the regions that the reference gives for each of its three.
var amazon = map[string]string{"us": "us-east-2", "eu": "eu-west-1", "in": "ap-south-1"}

// A choice is one place of the settings.
type choice struct{ region, bucket, container string }

func (s Settings) choices() []choice {
	return slices.DeleteFunc([]choice{
		{"us", s.S3US, ""}, {"eu", s.S3EU, ""}, {"in", s.S3IN, ""}, {"us", "", s.AzureUS}, {"eu", "", s.AzureEU}, {"in", "", s.AzureIN},
	}, func(c choice) bool {
		return c.bucket == "" && c.container == "" || s.Region != "" && s.Region != c.region
	})
}

// Empty reports whether there is nothing in the settings.
func (s Settings) Empty() bool { return s == Settings{} }

// Wrong is what an administrator must mend.
type Wrong struct{ Field, Text string }

// Error implements error.
func (w *Wrong) Error() string { return "storage: " + w.Field + ": " + w.Text }

// Bounds and forms of settings.
const maxText = 4096

var (
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`) // rules of Amazon S3
	roleName   = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]{1,512}$`)
	regionName = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)
	visible    = regexp.MustCompile(`^[!-~]*$`)
)

// Check reports the first thing that an administrator must mend.
func (s Settings) Check() error {
	if s.Region != "" && amazon[s.Region] == "" {
		return &Wrong{"region", "want us, eu or in"}
	}
	all := s.choices()
	switch {
	case len(all) == 0:
		return &Wrong{"storage", "want a bucket or a container, in the region that is chosen"}
	case len(all) > 1:
		return &Wrong{"region", "several places are given and this hub does not know where people live: choose us, eu or in, with one place there"}
	case all[0].container != "":
		return checkContainer("azure_blob_"+all[0].region, all[0].container)
	}
	return s.checkS3(all[0])
}

func (s Settings) checkS3(c choice) error {
	for field, text := range map[string]string{"s3_access_key_id": s.Key, "s3_secret_access_key": s.Secret} {
		if text == "" || len(text) > maxText || !visible.MatchString(text) {
			return &Wrong{field, "want the key of a user of the bucket, or one that may assume aws_role_arn: this hub has no identity of its own at Amazon"}
		}
	}
	switch {
	case !bucketName.MatchString(c.bucket):
		return &Wrong{"s3_bucket_" + c.region, "want the name of a bucket"}
	case s.Role != "" && (!roleName.MatchString(s.Role) || s.Endpoint != ""):
		return &Wrong{"aws_role_arn", "want one like arn:aws:iam::123456789012:role/postern, without s3_endpoint"}
	case s.S3Region != "" && !regionName.MatchString(s.S3Region):
		return &Wrong{"s3_region", "want one like eu-west-1"}
	}
	if u, err := url.Parse(s.Endpoint); s.Endpoint != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "") {
		return &Wrong{"s3_endpoint", "want an address like https://minio.example.com; http only where the operator allows the network"}
	}
	return nil
}

func checkContainer(field, text string) error {
	u, err := url.Parse(text)
	if err != nil || len(text) > maxText || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || len(u.Path) < 2 || u.Fragment != "" || u.Query().Get("sig") == "" {
		return &Wrong{field, "want the address of a container with its shared access signature, which may read, create, write and delete"}
	}
	return nil
}

// Shown returns the settings without what is secret: keys and signatures.
func (s Settings) Shown() Settings {
	s.Secret = ""
	for _, text := range []*string{&s.AzureUS, &s.AzureEU, &s.AzureIN} {
		*text, _, _ = strings.Cut(*text, "?")
	}
	return s
}

// Keep fills in secrets of the former settings where what is new is just what Shown
// showed of them, so that settings which were read can be written again. A secret is
// never kept for another service.
func (s *Settings) Keep(former Settings) {
	shown := former.Shown()
	for _, t := range []struct {
		text         *string
		shown, whole string
	}{{&s.AzureUS, shown.AzureUS, former.AzureUS}, {&s.AzureEU, shown.AzureEU, former.AzureEU}, {&s.AzureIN, shown.AzureIN, former.AzureIN}} {
		if *t.text == t.shown {
			*t.text = t.whole
		}
	}
	if s.Secret == "" && s.Key == former.Key && s.Endpoint == former.Endpoint {
		s.Secret = former.Secret
	}
}

// String hides everything, in case settings are printed.
func (s Settings) String() string { return fmt.Sprintf("storage of %d places", len(s.choices())) }
