-- Auto-routing: every CR or DX image that arrives goes to the node. Results (OT, SR, SEG, PR) do not, so there is no loop.
function OnStoredInstance(instance, tags, metadata, origin)
  if tags['Modality'] == 'CR' or tags['Modality'] == 'DX' then
    SendToModality(instance, 'covid-xray')
  end
end
