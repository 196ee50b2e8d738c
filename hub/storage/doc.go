// Package storage keeps sealed objects in storage that an organisation holds itself:
// S3-compatible buckets and containers of Azure Blob Storage. It moves there what the
// store holds, reads it back, and removes it. It knows neither what an object is nor the
// key that it is sealed under, so it never holds anything that could be read.
package storage
