package storage

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// ErrGone says that an object is not there.
var ErrGone = errors.New("storage: the object is not there")

// maxObject bounds what is read of an object, in bytes: a picture as it is kept, sealed.
const maxObject = 16 << 20

// MaxAnswer bounds an answer of a storage, in bytes.
const MaxAnswer = maxObject + 1

// A place holds objects under names.
type place interface {
	put(ctx context.Context, name string, body []byte) error
	get(ctx context.Context, name string) ([]byte, error) // ErrGone
	remove(ctx context.Context, name string) error        // none is no error
}

// open returns the place of settings. It asks nothing of it yet.
func open(s Settings, transport http.RoundTripper) (place, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	c := s.choices()[0]
	if c.container != "" {
		return openAzure(c.container, transport)
	}
	return openS3(s, c, transport)
}

// s3 is a bucket of an S3-compatible service.
type s3 struct {
	client *minio.Client
	bucket string
}

func openS3(s Settings, c choice, transport http.RoundTripper) (place, error) {
	region := cmp.Or(s.S3Region, amazon[c.region])
	endpoint, err := url.Parse(cmp.Or(s.Endpoint, "https://s3."+region+".amazonaws.com"))
	if err != nil {
		return nil, err
	}
	o := &minio.Options{Creds: credentials.NewStaticV4(s.Key, s.Secret, ""), Secure: endpoint.Scheme == "https", Region: region, Transport: transport, MaxRetries: 1}
	if s.Endpoint != "" {
		o.BucketLookup = minio.BucketLookupPath
	}
	if s.Role != "" {
		if o.Creds, err = assume(s, region, transport); err != nil {
			return nil, err
		}
	}
	client, err := minio.New(endpoint.Host, o)
	return &s3{client, c.bucket}, err
}

// sessionName stands in the records of Amazon for what this hub did under a role.
const sessionName = "postern"

// assume returns credentials of the role, which the key of the settings may assume.
func assume(s Settings, region string, transport http.RoundTripper) (*credentials.Credentials, error) {
	return credentials.New(&credentials.STSAssumeRole{
		Client: &http.Client{Transport: transport}, STSEndpoint: "https://sts." + region + ".amazonaws.com",
		Options: credentials.STSAssumeRoleOptions{AccessKey: s.Key, SecretKey: s.Secret, RoleARN: s.Role, RoleSessionName: sessionName, Location: region},
	}), nil
}

func (p *s3) put(ctx context.Context, name string, body []byte) error {
	_, err := p.client.PutObject(ctx, p.bucket, name, bytes.NewReader(body), int64(len(body)), minio.PutObjectOptions{
		ContentType: "application/octet-stream", DisableMultipart: true, SendContentMd5: true,
		DisableContentSha256: true, // or it is sent in signed pieces, which not every service puts together again
	})
	return err
}

func (p *s3) get(ctx context.Context, name string) ([]byte, error) {
	o, err := p.client.GetObject(ctx, p.bucket, name, minio.GetObjectOptions{})
	if err != nil {
		return nil, err
	}
	defer func() { _ = o.Close() }()
	b, err := whole(o)
	if minio.ToErrorResponse(err).Code == "NoSuchKey" {
		return nil, ErrGone
	}
	return b, err
}

func (p *s3) remove(ctx context.Context, name string) error {
	err := p.client.RemoveObject(ctx, p.bucket, name, minio.RemoveObjectOptions{})
	if minio.ToErrorResponse(err).Code == "NoSuchKey" {
		return nil
	}
	return err
}

// azure is a container of Azure Blob Storage.
type azure struct{ client *container.Client }

func openAzure(address string, transport http.RoundTripper) (place, error) {
	client, err := container.NewClientWithNoCredential(address, &container.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: &http.Client{Transport: transport}, Retry: policy.RetryOptions{MaxRetries: -1}, Telemetry: policy.TelemetryOptions{Disabled: true},
	}})
	return &azure{client}, err
}

func (p *azure) put(ctx context.Context, name string, body []byte) error {
	_, err := p.client.NewBlockBlobClient(name).UploadBuffer(ctx, body, nil)
	return err
}

func (p *azure) get(ctx context.Context, name string) ([]byte, error) {
	r, err := p.client.NewBlobClient(name).DownloadStream(ctx, nil)
	if bloberror.HasCode(err, bloberror.BlobNotFound) {
		return nil, ErrGone
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Body.Close() }()
	return whole(r.Body)
}

func (p *azure) remove(ctx context.Context, name string) error {
	_, err := p.client.NewBlobClient(name).Delete(ctx, nil)
	if bloberror.HasCode(err, bloberror.BlobNotFound) {
		return nil
	}
	return err
}

// whole reads an object within its bound.
func whole(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxObject+1))
	if err == nil && len(b) > maxObject {
		err = fmt.Errorf("storage: the object has more than %d bytes", maxObject)
	}
	return b, err
}

// said is what an administrator is told of an error: what the service answered, never an
// address, which may hold a signature.
func said(err error) string {
	var wrong *Wrong
	var blob *azcore.ResponseError
	var address *url.Error
	var answer minio.ErrorResponse
	switch {
	case errors.As(err, &wrong):
		return wrong.Error()
	case errors.As(err, &blob):
		return fmt.Sprintf("the storage answered %d %s", blob.StatusCode, blob.ErrorCode)
	case errors.As(err, &answer):
		return fmt.Sprintf("the storage answered %d %s: %.200s", answer.StatusCode, answer.Code, answer.Message)
	case errors.As(err, &address):
		return address.Err.Error()
	case errors.Is(err, ErrGone):
		return "an object that should be there is not"
	}
	return "the storage does not answer as it should"
}
