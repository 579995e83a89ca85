-- What the administrator of a PACS sets up: every study to which nothing more comes goes to the node. Results of the node make the study
-- new again and are sent along; the node knows its own results and leaves them.

function OnStableStudy(studyId, tags, metadata)
   RestApiPost('/modalities/hilum/store', DumpJson({ Resources = { studyId }, Synchronous = false }, true))
end
