/* Limits of the dashboard. */
#ifndef WEB_LIMITS_H
#define WEB_LIMITS_H

#define WEB_EVENT_MS 1000     /* a status document each so often, while somebody looks */
#define WEB_FIRST_EVENT_MS 20 /* the first one after the first of them has come */
#define WEB_SILENT_EVENTS 10  /* the timer stops after so many times without anybody */
#define WEB_DOCUMENTS_MAX 32  /* documents being made for requests; above: 429 */
#define WEB_STOP_MS 5000      /* web_free waits so long for documents under way */

#endif
