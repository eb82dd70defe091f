_base_ = ['./dino_r18_sigmoid_demo.py']

# learns little in the two epochs of the base: it starts from a backbone, its queries from nothing
# as DINO, with learned queries and without denoising
model = _base_.model
model.pop('dn_cfg')
model.bbox_head.type = 'DeformableDETRHead'
model.update(_delete_=True, type='DeformableDETR', as_two_stage=False)
