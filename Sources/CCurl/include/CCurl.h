#pragma once
#include <curl/curl.h>

// curl_easy_setopt and curl_easy_getinfo are variadic, which Swift can't call: one setter per type of value.

typedef size_t (*ccurl_data_callback)(char *bytes, size_t size, size_t count, void *context);
typedef int (*ccurl_seek_callback)(void *context, curl_off_t offset, int origin);
typedef int (*ccurl_progress_callback)(void *context, curl_off_t download_total, curl_off_t download_now,
                                       curl_off_t upload_total, curl_off_t upload_now);

CURLcode ccurl_set_long(CURL *handle, CURLoption option, long value);
CURLcode ccurl_set_offset(CURL *handle, CURLoption option, curl_off_t value);
/// `value` may be NULL, which takes the option back.
CURLcode ccurl_set_string(CURL *handle, CURLoption option, const char *value);
CURLcode ccurl_set_list(CURL *handle, CURLoption option, struct curl_slist *value);
/// `buffer` holds CURL_ERROR_SIZE bytes.
CURLcode ccurl_set_error_buffer(CURL *handle, char *buffer);
CURLcode ccurl_set_write_callback(CURL *handle, ccurl_data_callback callback, void *context);
/// `seek` is called when a body has to be sent once more.
CURLcode ccurl_set_read_callbacks(CURL *handle, ccurl_data_callback read, ccurl_seek_callback seek, void *context);
CURLcode ccurl_set_header_callback(CURL *handle, ccurl_data_callback callback, void *context);
CURLcode ccurl_set_progress_callback(CURL *handle, ccurl_progress_callback callback, void *context);

CURLcode ccurl_get_long(CURL *handle, CURLINFO info, long *value);
CURLcode ccurl_get_offset(CURL *handle, CURLINFO info, curl_off_t *value);
/// The text belongs to the handle.
CURLcode ccurl_get_string(CURL *handle, CURLINFO info, const char **value);

/// Takes the next transfer that has ended: its handle, or NULL if there is none.
CURL *ccurl_take_ended(CURLM *multi, CURLcode *result);
