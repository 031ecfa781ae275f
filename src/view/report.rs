//! A report: the ticket that the reporter gets, and what the operator reads.

use serde::Serialize;
use utoipa::ToSchema;

use crate::store::ReportRow;

/// That a report was taken.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReportTicket {
    /// The ticket: name it when asking again.
    #[schema(example = "rep_01h455vb4pex5vsknk084sn02q")]
    id: String,
    /// Always `report`.
    object: &'static str,
    /// RFC 3339.
    created_at: String,
}

impl ReportTicket {
    /// The ticket of a report.
    #[must_use]
    pub fn of(report: &ReportRow) -> Self {
        Self {
            id: report.id.to_string(),
            object: "report",
            created_at: report.created_at.rfc3339(),
        }
    }
}

/// A report, as the operator reads it. Its words are a stranger's.
#[derive(Debug, Serialize, ToSchema)]
pub struct Report {
    /// The reporter's ticket.
    #[schema(example = "rep_01h455vb4pex5vsknk084sn02q")]
    id: String,
    /// Always `report`.
    object: &'static str,
    /// `abuse`, `incident`, `vulnerability` or `other`.
    about: String,
    /// In the reporter's words.
    message: String,
    /// Where to answer, if the reporter says.
    contact: Option<String>,
    /// The address it came from.
    origin: String,
    /// RFC 3339.
    created_at: String,
}

/// A page of reports.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReportPage {
    /// Always `list`.
    object: &'static str,
    /// Newest first.
    data: Vec<Report>,
    /// Whether there are older ones: ask again with `starting_after` the last id.
    has_more: bool,
}

impl ReportPage {
    /// A page.
    #[must_use]
    pub fn of(reports: Vec<ReportRow>, has_more: bool) -> Self {
        let data = reports.into_iter().map(|report| Report {
            id: report.id.to_string(),
            object: "report",
            about: report.about,
            message: report.message,
            contact: report.contact,
            origin: report.origin,
            created_at: report.created_at.rfc3339(),
        });
        Self {
            object: "list",
            data: data.collect(),
            has_more,
        }
    }
}
